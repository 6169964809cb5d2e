//! What Calico's parts say, and what it means. Pure: text and objects in, judgement out.

mod address;
mod daemonset;
mod family;
mod link;
mod mesh;
mod node_status;
pub mod path;

pub use address::{Cidr, OwnAddress, own_address};
pub use daemonset::{CalicoNode, Detection, EnvFrom, EnvValue, Version};
pub use family::Family;
pub use link::{Link, LinkAddress, parse_links};
pub use mesh::{Mesh, MeshNode, Reading, SessionFault};
pub use node_status::{NodeStatus, Peer, StatusError, parse_node_status};

#[cfg(test)]
pub(crate) use mesh::tests::{
    healthy as test_healthy, node as test_node, sees as test_sees, stray as test_stray,
};
