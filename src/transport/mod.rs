//! How hosts and clusters are reached. Reading needs nothing; whatever writes asks for a permit.

mod file;
mod kube;
mod ssh;

pub use file::{FileReading, MAX_FILE};
pub use kube::{Cluster, ClusterOptions, Right};
pub use ssh::{Hosts, SshOptions};
