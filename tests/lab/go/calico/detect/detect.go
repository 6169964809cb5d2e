// Package detect asks Calico's own autodetection which address it picks on this host.
package detect

import (
	"fmt"
	"net"
	"strings"

	"github.com/projectcalico/calico/node/pkg/lifecycle/startup/autodetection"
	v1 "k8s.io/api/core/v1"
)

// Print prints the address that a method of IP_AUTODETECTION_METHOD picks, with its prefix length, or nothing. The
// InternalIPs, with commas between them, stand for those of the Kubernetes Node, which kubernetes-internal-ip asks for;
// without them it picks nothing. A method that Calico does not know ends the program, as it ends start-up.
func Print(method string, family int, internalIPs string) {
	if cidr := autodetection.AutoDetectCIDR(method, family, node(internalIPs), interfaces); cidr != nil {
		fmt.Println(cidr.String())
	}
}

func node(internalIPs string) *v1.Node {
	if internalIPs == "" {
		return nil
	}
	node := &v1.Node{}
	for _, address := range strings.Split(internalIPs, ",") {
		node.Status.Addresses = append(node.Status.Addresses, v1.NodeAddress{Type: v1.NodeInternalIP, Address: address})
	}
	return node
}

func interfaces(include, exclude []string, versions ...int) ([]autodetection.Interface, error) {
	return autodetection.GetInterfaces(net.Interfaces, include, exclude, versions...)
}
