// Command calico-node runs Calico's own start-up, address monitor, confd and health checks, taken from Calico's
// packages. Felix, the part that needs cgo and eBPF, is left out: the lab is about control, not packets.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	confdConfig "github.com/projectcalico/calico/confd/pkg/config"
	confd "github.com/projectcalico/calico/confd/pkg/run"
	"github.com/projectcalico/calico/libcalico-go/lib/logutils"
	"github.com/projectcalico/calico/node/pkg/health"
	"github.com/projectcalico/calico/node/pkg/lifecycle/startup"
	"github.com/projectcalico/calico/node/pkg/status"
	"github.com/projectcalico/calico/pkg/buildinfo"
	"github.com/sirupsen/logrus"
	"lab/calico/detect"
)

// The flags carry the names of Calico's own calico-node command (v3.31, node/cmd/calico-node).
func main() {
	logrus.SetOutput(os.Stdout)
	logutils.ConfigureFormatter("node")
	version := flag.Bool("v", false, "Display version")
	runStartup := flag.Bool("startup", false, "Do non-felix startup routine")
	monitorAddresses := flag.Bool("monitor-addresses", false, "Monitor change in node IP addresses")
	completeStartup := flag.Bool("complete-startup", false, "Update the NetworkUnavailable condition in Kubernetes")
	runConfd := flag.Bool("confd", false, "Run confd")
	confdDir := flag.String("confd-confdir", "/etc/calico/confd", "Confd configuration directory")
	birdLive := flag.Bool("bird-live", false, "Run bird liveness checks")
	bird6Live := flag.Bool("bird6-live", false, "Run bird6 liveness checks")
	birdReady := flag.Bool("bird-ready", false, "Run BIRD readiness checks")
	bird6Ready := flag.Bool("bird6-ready", false, "Run BIRD6 readiness checks")
	statusReporter := flag.Bool("status-reporter", false, "Run node status reporter")
	threshold := flag.Duration("threshold-time", 30*time.Second, "Threshold time for bird readiness")
	// These are the lab's own.
	autodetect := flag.String("autodetect", "", "Print the address that this autodetection method picks here")
	family := flag.Int("family", 4, "Of the address: 4 or 6")
	internalIPs := flag.String("internal-ips", "", "The Node's InternalIPs, for kubernetes-internal-ip")
	flag.Parse()

	switch {
	case *birdLive || *birdReady || *bird6Live || *bird6Ready:
		health.Run(*birdReady, *bird6Ready, false, false, *birdLive, *bird6Live, *threshold)
	case *autodetect != "":
		logrus.SetOutput(os.Stderr)
		detect.Print(*autodetect, *family, *internalIPs)
	case *statusReporter:
		logrus.SetFormatter(&logutils.Formatter{Component: "status-reporter"})
		status.Run()
	case *version:
		buildinfo.PrintVersion()
	case *runStartup:
		logrus.SetFormatter(&logutils.Formatter{Component: "startup"})
		startup.Run()
	case *monitorAddresses:
		logrus.SetFormatter(&logutils.Formatter{Component: "monitor-addresses"})
		startup.ConfigureLogging()
		startup.MonitorIPAddressSubnets()
	case *completeStartup:
		logrus.SetFormatter(&logutils.Formatter{Component: "complete-startup"})
		if err := startup.ManageNodeCondition(context.Background(), 5*time.Minute); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	case *runConfd:
		logrus.SetFormatter(&logutils.Formatter{Component: "confd"})
		cfg, err := confdConfig.InitConfig(true)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		cfg.ConfDir = *confdDir
		confd.Run(cfg)
	default:
		flag.PrintDefaults()
		os.Exit(1)
	}
}
