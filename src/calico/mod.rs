//! What Calico's parts say, and what it means. Pure: text and objects in, judgement out.

mod address;
mod calico_node_status;
mod daemonset;
mod family;
mod go_regex;
mod link;
mod mesh;
mod method;
mod node_status;
mod pick;
mod readiness;

pub use address::{Cidr, OwnAddress, own_address};
pub use calico_node_status::parse_calico_node_status;
pub use daemonset::{CalicoNode, Detection, EnvFrom, EnvValue, Version};
pub use family::Family;
pub use link::{Link, LinkAddress, parse_links};
pub use mesh::{Mesh, MeshNode, Reading, SessionFault};
pub use method::Method;
pub use node_status::{Daemon, NodeStatus, Peer, StatusError, parse_node_status};
pub use pick::{Pick, Sight, pick, pick_as_written};
pub use readiness::not_established;

#[cfg(test)]
pub(crate) use mesh::tests::{
    healthy as test_healthy, node as test_node, sees as test_sees, stray as test_stray,
};
