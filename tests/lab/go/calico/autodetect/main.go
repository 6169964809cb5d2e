// Command calico-autodetect says which address Calico's own autodetection picks on the host where it runs, by the method
// that it is given: a small program, for the nodes themselves.
package main

import (
	"flag"
	"os"

	"github.com/sirupsen/logrus"
	"lab/calico/detect"
)

func main() {
	// The answer alone is printed; why there is none goes to where errors go.
	logrus.SetOutput(os.Stderr)
	logrus.SetLevel(logrus.WarnLevel)
	method := flag.String("method", "first-found", "As in IP_AUTODETECTION_METHOD")
	family := flag.Int("family", 4, "4 or 6")
	internalIPs := flag.String("internal-ips", "", "The Node's InternalIPs, for kubernetes-internal-ip")
	flag.Parse()
	detect.Print(*method, *family, *internalIPs)
}
