// Command calico-health runs Calico's own readiness and liveness checks, alone: the kubelet starts them every few
// seconds, and all of calico-node takes most of a second to load in a user-mode-linux machine.
package main

import (
	"flag"
	"os"
	"time"

	"github.com/projectcalico/calico/libcalico-go/lib/logutils"
	"github.com/projectcalico/calico/node/pkg/health"
	"github.com/sirupsen/logrus"
)

// The flags carry the names of Calico's own calico-node command (v3.31, node/cmd/calico-node).
func main() {
	logrus.SetOutput(os.Stdout)
	logutils.ConfigureFormatter("node")
	birdLive := flag.Bool("bird-live", false, "Run bird liveness checks")
	bird6Live := flag.Bool("bird6-live", false, "Run bird6 liveness checks")
	birdReady := flag.Bool("bird-ready", false, "Run BIRD readiness checks")
	bird6Ready := flag.Bool("bird6-ready", false, "Run BIRD6 readiness checks")
	threshold := flag.Duration("threshold-time", 30*time.Second, "Threshold time for bird readiness")
	flag.Parse()
	health.Run(*birdReady, *bird6Ready, false, false, *birdLive, *bird6Live, *threshold)
}
