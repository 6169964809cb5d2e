//! How hosts and clusters are reached. Reading needs nothing; whatever writes asks for a permit.

mod bgp_path;
mod calico;
mod control;
mod docker;
mod drop_in;
mod facts;
mod file;
mod host_claim;
mod kube;
mod large;
mod network_manager;
mod password;
mod program;
mod script;
mod setting;
mod shell_loop;
mod ssh;
mod switch;

pub use crate::model::Secret;
pub use bgp_path::PathParts;
pub use calico::{CalicoHost, CalicoStore, Calicoctl, no_calicoctl};
pub use docker::DockerNetwork;
pub use file::{FileReading, MAX_FILE, OwnerNames};
pub use host_claim::HostHolder;
pub use kube::{
    Claimable, Claimed, Cluster, ClusterOptions, Conflict, Evicted, Following, PodNews, PodsOf,
    Rejection, Renewed, Right, Trial, Tried,
};
pub use large::MayMoveOn;
pub use network_manager::{Daemon, Device, NetworkManagerReading, UnmanagedDevices};
pub use password::{AskPerson, PasswordSource};
pub use program::check_failed;
pub use script::another_host;
pub use setting::UnitReading;
pub use ssh::{Hosts, SshOptions};
