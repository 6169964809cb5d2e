//! How hosts and clusters are reached. Reading needs nothing; whatever writes asks for a permit.

mod kube;
mod ssh;

pub use kube::{Cluster, ClusterOptions, Right};
pub use ssh::{Hosts, SshOptions};
