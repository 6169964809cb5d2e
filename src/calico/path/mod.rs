//! Right addresses, and no session: what lies between two ends of a BGP session, and which of it is the
//! cause. What hosts print goes in, a judgement comes out.

mod between;
mod cause;
mod chains;
mod ends;
mod filters;
mod iptables;
mod judge;
mod nft;
mod nft_words;
mod reading;
mod rules;
mod sessions;
mod table;

pub use cause::{Cause, Certain};
pub use judge::{Found, Hosts, Judgement, NoHost, Setup, judge};
pub use reading::{HostPath, Neighbour, PeerPath, Ping, Route, Tcp};
pub use sessions::{Pair, State, open, pairs};

/// The port of BGP, where Calico is not told another one.
pub const BGP: u16 = 179;

#[cfg(test)]
mod tests;
