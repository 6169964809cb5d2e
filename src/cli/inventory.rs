//! `runbook inventory`

use super::Global;
use super::exit::Exit;
use crate::actions::{Look, World, calicoctl_fact};
use crate::calico::CalicoFacts;
use crate::fault::Fault;
use crate::inventory::Destination;
use crate::model::facts::Facts;
use crate::model::{HostRef, Identity, Method};
use crate::transport::Hosts;
use crate::views::render_facts;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

/// The form of what is printed for programs.
const SCHEMA: &str = "runbook.facts/v1";

#[derive(Debug, Args)]
pub struct InventoryCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Read a host and print what it is and has, by the names that conditions have for it (`facts.…`);
    /// writes nothing
    Facts(FactsCommand),
}

#[derive(Debug, Args)]
struct FactsCommand {
    /// Name of a host of the inventory, or of a node; the API server need not answer where the inventory
    /// has it
    #[arg(value_name = "HOST")]
    host: String,
    /// Read it as this user; as whoever logs in, if left out
    #[arg(long = "become", value_name = "USER")]
    user: Option<String>,
    /// How to become that user
    #[arg(
        long,
        value_name = "METHOD",
        value_enum,
        default_value = "sudo",
        requires = "user"
    )]
    become_method: BecomeMethod,
    /// How it is printed
    #[arg(long, value_name = "FORM", value_enum, default_value = "text")]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BecomeMethod {
    Sudo,
    Su,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For programs: one line; what has no value is an object with `unknown` or `not_applicable`, and why
    Json,
}

#[derive(Serialize)]
struct Printed<'f> {
    schema: &'static str,
    host: &'f str,
    read_as: String,
    facts: &'f Facts,
    calico: &'f CalicoFacts,
}

impl InventoryCommand {
    pub async fn run(&self, global: &Global) -> Result<Exit, Fault> {
        let What::Facts(facts) = &self.what;
        facts.run(global).await
    }
}

impl FactsCommand {
    async fn run(&self, global: &Global) -> Result<Exit, Fault> {
        let identity = self.identity()?;
        let inventory = global.inventory()?;
        let host = match inventory.named(&self.host) {
            Ok(host) => host,
            Err(unknown) => {
                is_node(global, &self.host, unknown).await?;
                // As in a plan, a node that is not in it is reached by its own name.
                inventory.destination(&self.host)
            }
        };
        let (hosts, cluster) = (global.hosts(&inventory)?, global.cluster().await);
        let facts = read(&hosts, &host, &identity).await;
        let facts = match facts {
            Ok(facts) => facts,
            Err(fault) => {
                hosts.close().await;
                return Err(fault);
            }
        };
        let calicoctl = hosts.read_calicoctl(&host, &of(&host, &identity)).await;
        let calicoctl = calicoctl_fact(calicoctl);
        let node = inventory.node_of(&host.name).to_owned();
        let calico = match cluster {
            Ok(cluster) => {
                let world = World {
                    cluster,
                    hosts,
                    inventory,
                };
                let calico = Look::new(&world).calico_facts(&node, calicoctl).await;
                world.hosts.close().await;
                calico
            }
            Err(fault) => {
                hosts.close().await;
                CalicoFacts::unknown(&fault.message, calicoctl)
            }
        };
        super::say(&match self.output {
            Output::Text => render_facts(&host.name, &identity.to_string(), &facts, &calico),
            Output::Json => {
                let printed = Printed {
                    schema: SCHEMA,
                    host: &host.name,
                    read_as: identity.to_string(),
                    facts: &facts,
                    calico: &calico,
                };
                let text = serde_json::to_string(&printed);
                let text = text.map_err(|e| Fault::internal(format!("facts: {e}")))?;
                format!("{text}\n")
            }
        });
        Ok(Exit::Done)
    }

    fn identity(&self) -> Result<Identity, Fault> {
        let Some(user) = &self.user else {
            return Ok(Identity::Login);
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-$".contains(c);
        if user.is_empty() || user.starts_with('-') || !user.chars().all(plain) {
            return Err(Fault::input(
                "become_user",
                format!("--become {user}: that is not the name of a user"),
            ));
        }
        Ok(Identity::Become {
            user: user.clone(),
            method: match self.become_method {
                BecomeMethod::Sudo => Method::Sudo,
                BecomeMethod::Su => Method::Su,
            },
        })
    }
}

/// Whether the cluster has such a node. If not, it is `unknown`, as the inventory says; where nobody could ask
/// the cluster, that is said too.
async fn is_node(global: &Global, name: &str, unknown: Fault) -> Result<(), Fault> {
    let asked = async {
        Look::new(&global.world().await?)
            .node(name)
            .await
            .map(|_| ())
    };
    match asked.await {
        Ok(()) => Ok(()),
        Err(no) if no.code == "node_gone" => Err(unknown),
        Err(why) => Err(Fault {
            message: format!(
                "{}, and whether it is a node could not be asked: {}",
                unknown.message, why.message
            ),
            ..unknown
        }),
    }
}

/// Whichever it is: its facts say so.
fn of(host: &Destination, identity: &Identity) -> HostRef {
    HostRef {
        node: host.name.clone(),
        machine_id: String::new(),
        identity: identity.clone(),
    }
}

async fn read(hosts: &Hosts, host: &Destination, identity: &Identity) -> Result<Facts, Fault> {
    hosts.facts(host, &of(host, identity)).await
}
