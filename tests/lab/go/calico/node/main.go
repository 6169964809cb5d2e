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
	"github.com/projectcalico/calico/pkg/buildinfo"
	"github.com/sirupsen/logrus"
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
	birdReady := flag.Bool("bird-ready", false, "Run BIRD readiness checks")
	threshold := flag.Duration("threshold-time", 30*time.Second, "Threshold time for bird readiness")
	flag.Parse()

	switch {
	case *birdLive || *birdReady:
		health.Run(*birdReady, false, false, false, *birdLive, false, *threshold)
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
