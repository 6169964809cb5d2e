//! Remediation runbooks for fleets of Linux hosts that run Kubernetes with Calico: what a step would
//! do is shown before, done with a journal, verified by looking again, and taken back on demand.
//!
//! The parts stand in rows; each may use those above it, never those below, which
//! `tests/rows.rs` holds:
//!
//! | row | subject |
//! |---|---|
//! | `fault` | what can go wrong |
//! | `model` | what is planned, done and recorded: data |
//! | `runbook` | the language: text to typed runbook |
//! | `inventory` | hosts, and how they are reached |
//! | `journal` | what is durable, and the permit that only it gives |
//! | `transport` | a host over OpenSSH, a cluster over its API |
//! | `calico` | what Calico's parts say, and what it means |
//! | `drain` | which pods leave a node, and which budgets hold them |
//! | `actions` | the kinds of steps |
//! | `plan` | observations to decisions |
//! | `engine` | the run |
//! | `views` | what people read |
//! | `cli` | arguments, prompts, exit codes |

// A terminal that is gone makes these panic: `views` writes instead.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod actions;
pub mod calico;
pub mod cli;
pub mod drain;
pub mod engine;
pub mod fault;
pub mod inventory;
pub mod journal;
pub mod model;
pub mod plan;
pub mod runbook;
pub mod transport;
pub mod views;
