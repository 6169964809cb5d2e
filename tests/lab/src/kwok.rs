//! kwok, which plays the kubelets of fake nodes.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Lab;
use crate::error::{Error, Result};
use crate::fake::KUBELET;

pub const KWOK: &str = "kwok";

/// Pods of fake nodes get addresses of it; nothing answers there.
const PODS: &str = "10.128.0.0/16";

impl Lab {
    /// Whether this lab is one with fake nodes.
    pub fn is_fake(&self) -> bool {
        self.fake_file().exists()
    }

    pub(crate) fn record_fake(&self, is_fake: bool) -> Result<()> {
        if !is_fake {
            return Ok(());
        }
        let path = self.fake_file();
        fs::write(&path, "").map_err(Error::file("write", &path))
    }

    /// Starts kwok with the stages that it has inside: nodes become Ready and renew their leases, pods become Ready,
    /// those of Jobs complete, and those that are to end do so at once.
    pub(crate) fn start_kwok(&self, program: &Path) -> Result<()> {
        let config = self.source.join("manifests/kwok.yaml");
        let args = [
            format!("--config={}", config.display()),
            format!("--kubeconfig={}", self.kubeconfig().display()),
            format!("--manage-nodes-with-label-selector={KUBELET}"),
            format!("--cidr={PODS}"),
            // The controller manager's patience is short here.
            "--node-lease-duration-seconds=20".to_owned(),
        ];
        self.processes().start(KWOK, program, &args, None)
    }

    fn fake_file(&self) -> PathBuf {
        self.run.join("fake")
    }
}
