//! Remediation runbooks for fleets of Linux hosts that run Kubernetes with Calico: what a step would
//! do is shown before, done with a journal, verified by looking again, and taken back on demand.
//!
//! Each row may use those above it, never those below:

pub mod actions;
pub mod calico;
pub mod cli;
pub mod engine;
pub mod fault;
pub mod inventory;
pub mod journal;
pub mod model;
pub mod plan;
pub mod runbook;
pub mod transport;
pub mod views;
