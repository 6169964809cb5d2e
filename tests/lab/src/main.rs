//! The lab's command line.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use clap::{Parser, Subcommand, ValueEnum};
use lab::breakage::{Incident, Variant};
use lab::datastore::Datastore;
use lab::machine::Node;
use lab::{Lab, Profile, Result};

/// Real Linux nodes, a real Kubernetes control plane and Calico's own control part, on this machine alone.
#[derive(Parser)]
#[command(name = "lab", bin_name = "lab")]
struct Args {
    /// Another lab, beside the usual one: both can be up
    #[arg(long)]
    name: Option<String>,
    #[command(subcommand)]
    word: Word,
}

#[derive(Subcommand)]
enum Word {
    /// Bring up whatever is not up, and wait until all of it is well
    Up {
        #[arg(long, value_enum, default_value = "full")]
        profile: ProfileArg,
        /// Where Calico keeps its data; without it where it was, at first in the Kubernetes API
        #[arg(long, value_enum)]
        datastore: Option<Datastore>,
    },
    /// Make Calico keep its data in the Kubernetes API, or in an etcd of its own, while the machines run on
    Datastore {
        #[arg(value_enum)]
        to: Datastore,
    },
    /// End and remove everything; built parts stay in the cache
    Down,
    /// What runs, since when, and whether it is well
    Status,
    /// Fresh overlays and clean cluster objects, for all nodes or for one
    Reset { node: Option<String> },
    /// Pull a node's plug: what it had not written to its disk is lost
    Cut { node: String },
    /// Power a node on, and wait until it is Ready
    PowerOn { node: String },
    /// End the API server, or start it again
    Api {
        #[arg(value_parser = ["stop", "start"])]
        what: String,
    },
    /// Make a node a place from which the product can be run, in /root/operator there
    Operator {
        node: String,
        /// The product's program
        runbook: PathBuf,
    },
    /// Log in to a node as root, or run a command there
    Ssh {
        node: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// kubectl against the lab
    Kubectl {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// calicoctl against the lab
    Calicoctl {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run any command inside the lab's network, with its environment
    Exec {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<String>,
    },
    /// Print the environment that `exec` sets
    Env,
    /// Make a fault the way it happens in life, and show its symptom
    Break {
        #[arg(value_enum)]
        incident: Incident,
        #[arg(long)]
        node: String,
        /// Without it, the first of the incident's
        #[arg(long, value_enum)]
        variant: Option<Variant>,
        /// It comes back when the node boots: bgp-wrong-ip, conntrack-full (swap does anyway)
        #[arg(long)]
        persistent: bool,
    },
    /// Undo whatever `break` did
    Heal,
}

#[derive(Clone, Copy, ValueEnum)]
enum ProfileArg {
    /// Control plane and three nodes with Calico
    Full,
    /// Without machines
    ControlPlane,
    /// Without machines and Calico, with kwok for fake nodes
    Fake,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args.name.as_deref(), args.word) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(name: Option<&str>, word: Word) -> Result<()> {
    if !matches!(word, Word::Env) {
        lab::need_root()?;
    }
    let lab = match name {
        Some(name) => Lab::open_beside(name)?,
        None => Lab::open()?,
    };
    match word {
        Word::Up { profile, datastore } => {
            let profile = match profile {
                ProfileArg::Full => Profile::Full,
                ProfileArg::ControlPlane => Profile::ControlPlane,
                ProfileArg::Fake => Profile::Fake,
            };
            lab.up_with(profile, datastore)?;
            if profile != Profile::Fake {
                print!("{}", lab.usage());
            }
            Ok(())
        }
        Word::Datastore { to } => lab.switch_datastore(to),
        Word::Down => lab.down(),
        Word::Status => lab.status().map(|text| print!("{text}")),
        Word::Reset { node } => lab.reset(node.as_deref().map(Node::named).transpose()?),
        Word::Cut { node } => lab.cut_power(Node::named(&node)?),
        Word::PowerOn { node } => lab.power_on(Node::named(&node)?),
        Word::Api { what } => match what.as_str() {
            "stop" => lab.stop_api_server(),
            _ => lab.start_api_server(),
        },
        Word::Operator { node, runbook } => lab.operator(Node::named(&node)?, &runbook),
        Word::Ssh { node, command } => {
            lab.need_up()?;
            let mut ssh = lab.ssh_command(Node::named(&node)?);
            become_program(ssh.args(command))
        }
        Word::Kubectl { args } => become_tool(&lab, "kubectl", &args),
        Word::Calicoctl { args } => become_tool(&lab, "calicoctl", &args),
        Word::Exec { command } => match command.split_first() {
            Some((program, args)) => become_tool(&lab, program, args),
            None => Ok(()),
        },
        Word::Env => {
            for (name, value) in lab.environment() {
                println!("export {name}='{}'", value.display());
            }
            Ok(())
        }
        Word::Break {
            incident,
            node,
            variant,
            persistent,
        } => lab
            .break_(incident, variant, Node::named(&node)?, persistent)
            .map(|symptom| print!("{symptom}")),
        Word::Heal => lab.heal(),
    }
}

fn become_tool(lab: &Lab, program: &str, args: &[String]) -> Result<()> {
    lab.need_up()?;
    become_program(lab.command(program).args(args))
}

/// Hands this process over, so that terminal, signals and exit status are the program's own.
fn become_program(command: &mut Command) -> Result<()> {
    let source = command.exec();
    Err(lab::Error::Start {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })
}
