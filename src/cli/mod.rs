//! The command line: arguments, prompts, exit codes, and nothing else.

mod again;
mod apply;
mod ask;
mod carry;
mod claims;
mod confirm;
mod exit;
mod help;
mod history;
mod inventory;
mod list;
mod new;
mod plan;
mod private_file;
mod resume;
mod schema;
mod show;
mod signals;
mod subject;
mod undo;
mod validate;

use crate::actions::World;
use crate::fault::Fault;
use crate::inventory::Inventory;
use crate::journal::StateDir;
use crate::model::Secret;
use crate::runbook::{Folder, Library};
use crate::transport::{Cluster, ClusterOptions, Hosts, PasswordSource, SshOptions};
use crate::views::{LogLines, inform, render_fault, to_output as say};
use clap::{Args, Parser, Subcommand};
use exit::Exit;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Remediation runbooks for Linux hosts that run Kubernetes with Calico: previewed, verified, and
/// taken back with one command.
#[derive(Debug, Parser)]
#[command(name = "runbook", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// Kubeconfig, instead of $KUBECONFIG or ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig (its current one if left out)
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// Inventory of hosts (./inventory.yaml, else ~/.config/runbook/inventory.yaml)
    #[arg(long, global = true, value_name = "FILE", env = "RUNBOOK_INVENTORY")]
    inventory: Option<PathBuf>,
    /// OpenSSH client configuration, instead of the inventory's or your own
    #[arg(long, global = true, value_name = "FILE", env = "RUNBOOK_SSH_CONFIG")]
    ssh_config: Option<PathBuf>,
    /// Accept the SSH keys of hosts never seen before; a changed key is always refused
    #[arg(long, global = true)]
    accept_new: bool,
    /// File whose first line is the password for `become`; without it, it is asked for where needed
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "RUNBOOK_BECOME_PASSWORD_FILE"
    )]
    become_password_file: Option<PathBuf>,
    /// Folder of runbooks, before ./runbooks, ~/.config/runbook/runbooks and those that ship; once for each
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "RUNBOOK_PATH",
        value_delimiter = ':'
    )]
    path: Vec<OsString>,
    /// Where journals are kept (~/.local/state/runbook)
    #[arg(long, global = true, value_name = "DIR", env = "RUNBOOK_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Say more on standard error: -v requests and connections, -vv everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the runbooks
    List,
    /// Show a runbook, the rights that it needs, or a saved plan
    Show(show::Show),
    /// Say what is wrong with runbooks; asks no cluster and no host
    Validate(validate::Validate),
    /// Print the JSON Schema of runbooks, for editors
    Schema,
    /// Write the start of a runbook
    New(new::New),
    /// Show what a runbook would do; writes nothing
    Plan(plan::PlanCommand),
    /// Plan, show, ask, carry out, verify
    Apply(apply::Apply),
    /// Take a run back
    Undo(undo::Undo),
    /// Go on with a run that was cut short, stopped, or failed
    Resume(resume::Resume),
    /// List the runs; show, export, import or remove them
    History(history::History),
    /// Look at the hosts of the inventory
    Inventory(inventory::InventoryCommand),
}

/// Parses the command line, does what it says, and gives the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // What cannot be printed can only be dropped.
            let _ = e.print();
            let code = match e.kind() {
                _ if e.use_stderr() => Exit::Input,
                clap::error::ErrorKind::DisplayHelp => help::of_runbook(std::env::args_os()),
                _ => Exit::Done,
            };
            return code.into();
        }
    };
    log(cli.global.verbose);
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Fault::internal(format!("the runtime does not start: {e}")))
        .and_then(|runtime| {
            let outcome = runtime.block_on(run(cli));
            runtime.shutdown_background();
            outcome
        });
    signals::leave_terminal();
    outcome
        .unwrap_or_else(|fault| {
            inform!("{}", render_fault(&fault));
            Exit::of(fault.class)
        })
        .into()
}

async fn run(cli: Cli) -> Result<Exit, Fault> {
    match &cli.command {
        Command::Plan(_) | Command::Apply(_) | Command::Undo(_) => {
            signals::heed("Nothing was written.")?;
        }
        Command::Resume(_) => signals::heed("Nothing more was written.")?,
        // They end as programs do.
        _ => {}
    }
    match cli.command {
        Command::List => list::run(&cli.global),
        Command::Show(command) => command.run(&cli.global).await,
        Command::Validate(command) => command.run(&cli.global),
        Command::Schema => schema::run(),
        Command::New(command) => command.run(),
        Command::Plan(command) => command.run(&cli.global).await,
        Command::Apply(command) => command.run(&cli.global).await,
        Command::Undo(command) => command.run(&cli.global).await,
        Command::Resume(command) => command.run(&cli.global).await,
        Command::History(command) => command.run(&cli.global),
        Command::Inventory(command) => command.run(&cli.global).await,
    }
}

fn log(verbose: u8) {
    let level = match verbose {
        // What an API server that does not answer means is said by those who asked it.
        0 => "warn,kube_client=off",
        1 => "runbook=debug",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("RUNBOOK_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(|| LogLines)
        // It would be said on a terminal that is gone, and panic.
        .log_internal_errors(false)
        .init();
}

impl Global {
    /// What hosts and cluster are reached with. Nothing is asked of them yet.
    async fn world(&self) -> Result<World, Fault> {
        let inventory = self.inventory()?;
        Ok(World {
            cluster: self.cluster().await?,
            hosts: self.hosts(&inventory)?,
            inventory,
        })
    }

    /// What the cluster is reached with.
    async fn cluster(&self) -> Result<Cluster, Fault> {
        Cluster::connect(&ClusterOptions {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
        })
        .await
    }

    /// What hosts are reached with.
    fn hosts(&self, inventory: &Inventory) -> Result<Hosts, Fault> {
        let own = self.ssh_config.clone();
        Ok(Hosts::new(SshOptions {
            config: own.or_else(|| inventory.ssh_config().map(Path::to_owned)),
            accept_new: self.accept_new,
            password: self.password()?,
        }))
    }

    /// Where the password for becoming another user comes from: a file, or whoever sits here.
    fn password(&self) -> Result<PasswordSource, Fault> {
        let Some(path) = &self.become_password_file else {
            return Ok(match confirm::on_terminal() {
                true => PasswordSource::Ask(Box::new(confirm::ask_password)),
                false => PasswordSource::None,
            });
        };
        let unreadable = |why: String| {
            Fault::input(
                "password_file",
                format!("the password file {} cannot be used: {why}", path.display()),
            )
        };
        let text = std::fs::read_to_string(path).map_err(|e| unreadable(e.to_string()))?;
        let line = text.lines().next().unwrap_or_default();
        if line.is_empty() {
            return Err(unreadable("its first line is empty".to_owned()));
        }
        let found = std::fs::metadata(path).map_err(|e| unreadable(e.to_string()))?;
        // A pipe is nobody else's to read.
        if found.is_file() && found.mode() & 0o077 != 0 {
            return Err(unreadable("others than its owner can read it".to_owned())
                .next("chmod 600 FILE, or give a pipe"));
        }
        Ok(PasswordSource::Given(Secret::new(line.to_owned())))
    }

    /// The runbooks that can be named: in folders that are given, in ./runbooks, in the user's own folder,
    /// and what ships.
    fn library(&self) -> Library {
        let named = self
            .path
            .iter()
            .filter(|p| !p.is_empty())
            .map(|p| (PathBuf::from(p), true));
        let usual = [
            Some(PathBuf::from("./runbooks")),
            config_home().map(|home| home.join("runbook/runbooks")),
        ];
        let usual = usual.into_iter().flatten().map(|path| (path, false));
        let folders = named
            .chain(usual)
            .map(|(path, named)| Folder { path, named });
        Library::new(crate::actions::kinds(), folders.collect())
    }

    fn inventory(&self) -> Result<Inventory, Fault> {
        if let Some(path) = &self.inventory {
            return Inventory::read(path);
        }
        let usual = [
            Some(PathBuf::from("inventory.yaml")),
            config_home().map(|home| home.join("runbook/inventory.yaml")),
        ];
        match usual.into_iter().flatten().find(|path| path.exists()) {
            Some(path) => Inventory::read(&path),
            None => Ok(Inventory::default()),
        }
    }

    fn state(&self) -> Result<StateDir, Fault> {
        let path = self
            .state_dir
            .clone()
            .or_else(|| home("XDG_STATE_HOME", ".local/state").map(|s| s.join("runbook")))
            .ok_or_else(|| {
                Fault::input("no_home", "neither HOME nor XDG_STATE_HOME is set")
                    .next("say where journals are kept with --state-dir")
            })?;
        Ok(StateDir::new(path))
    }
}

fn config_home() -> Option<PathBuf> {
    home("XDG_CONFIG_HOME", ".config")
}

fn home(variable: &str, below: &str) -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
    set(variable)
        .map(PathBuf::from)
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(below)))
}
