//! The chains of a firewall, and what comes of leading from one to another.

use super::rules::{Does, Names, Policy, Rule, Rules, Spot, Way};
use std::collections::BTreeSet;

/// A chain as it was read.
#[derive(Debug, Default)]
pub(super) struct Chain {
    pub spot: Spot,
    /// It begins with a host's own packets.
    pub way: Option<Way>,
    /// What no rule decides is dropped.
    pub drops: bool,
    /// What a rule for all does.
    pub ends: Option<Does>,
    /// What a rule for all of TCP does, before that.
    pub ends_tcp: Option<Does>,
    /// Nothing comes as far as here any more.
    pub over: bool,
    /// Chains to which it leads.
    pub jumps: Vec<String>,
    /// Those of them to which all leads that comes so far, with how many rules are before that.
    pub hands_over: Vec<(String, usize)>,
    /// Their ways are not known yet.
    pub rules: Vec<Rule>,
}

impl Chain {
    /// A rule drops or rejects whatever comes so far.
    pub fn ends_all(&mut self, does: Does) {
        self.ends = Some(does);
        self.over = true;
    }

    /// The same for TCP alone.
    pub fn ends_tcp(&mut self, does: Does) {
        self.ends_tcp.get_or_insert(does);
    }

    /// All that comes so far is sent to other chains.
    pub fn hands_over(&mut self, to: &[String]) {
        if self.ends_tcp.is_none() {
            let before = self.rules.len();
            let to = to.iter().map(|to| (to.clone(), before));
            self.hands_over.extend(to);
        }
    }

    /// Adds a rule, where something of what it names comes so far.
    pub fn push(&mut self, rule: Rule) {
        match (self.ends_tcp, rule.names) {
            (None, _) | (_, Names::Protocol4) => self.rules.push(rule),
            (_, Names::All) => self.rules.push(Rule {
                names: Names::Protocol4,
                ..rule
            }),
            _ => {}
        }
    }

    /// What is done to BGP that no rule before decides.
    fn end(&self) -> Option<Does> {
        self.ends_tcp.or(self.ends)
    }
}

/// What of these chains a host's own packets come by.
pub(super) fn reached(chains: Vec<Chain>) -> Rules {
    let mut ways: Vec<BTreeSet<Way>> = chains.iter().map(|c| c.way.into_iter().collect()).collect();
    // A chain may come before those that lead to it.
    loop {
        let mut more = Vec::new();
        for (chain, from) in chains
            .iter()
            .zip(&ways)
            .filter(|(_, from)| !from.is_empty())
        {
            for (at, (to, has)) in chains.iter().zip(&ways).enumerate() {
                if chain.jumps.contains(&to.spot.chain)
                    && chain.spot.same_table(&to.spot)
                    && !from.is_subset(has)
                {
                    more.push((at, from.clone()));
                }
            }
        }
        if more.is_empty() {
            break;
        }
        for (at, from) in more {
            if let Some(has) = ways.get_mut(at) {
                has.extend(from);
            }
        }
    }
    let accepting = accepting(&chains);
    let ending: Vec<Ending> = chains.iter().filter_map(Ending::of).collect();
    let mut found = Rules::default();
    for (chain, ways) in chains.into_iter().zip(ways) {
        let mut chain = chain;
        let (mut ends, mut goes_on) = (Vec::new(), true);
        for (to, before) in &chain.hands_over {
            let to = chain.spot.beside(to);
            let Some(ending) = ending.iter().find(|ending| ending.spot == to) else {
                continue;
            };
            ends.push((Some(ending.does), Some(to)));
            if !ending.returns {
                goes_on = false;
                if ending.all {
                    chain.rules.truncate(*before);
                }
                break;
            }
        }
        if goes_on && (chain.drops || chain.end().is_some()) {
            ends.push((chain.end(), None));
        }
        for (by_rule, through) in ends {
            found.policies.extend(chain.way.map(|way| Policy {
                spot: chain.spot.clone(),
                way,
                by_rule,
                through,
            }));
        }
        // What a chain that begins with packets sends back is left to its policy.
        let by_policy = chain.way.is_some() && !chain.drops;
        let rules = chain.rules.into_iter().filter(|_| !ways.is_empty());
        let rules = rules.filter_map(|rule| led(rule, &accepting, &ending));
        let rules = rules.map(|rule| match rule.does {
            Does::Return if by_policy => Rule {
                does: Does::Accept,
                ..rule
            },
            _ => rule,
        });
        found.rules.extend(rules.map(|rule| Rule {
            ways: ways.clone(),
            ..rule
        }));
    }
    found
}

/// A chain that drops or rejects whatever of BGP comes to its end.
struct Ending {
    spot: Spot,
    does: Does,
    /// Not of TCP alone.
    all: bool,
    /// It may send some back before that.
    returns: bool,
}

impl Ending {
    fn of(chain: &Chain) -> Option<Self> {
        Some(Self {
            spot: chain.spot.clone(),
            does: chain.end()?,
            all: chain.ends.is_some(),
            returns: chain.rules.iter().any(|rule| rule.does == Does::Return),
        })
    }
}

/// What a rule does by the chains to which it leads; `None` where that is not seen.
fn led(rule: Rule, accepting: &[Spot], ending: &[Ending]) -> Option<Rule> {
    if rule.leads.is_empty() {
        return Some(rule);
    }
    let spots: Vec<Spot> = rule
        .leads
        .iter()
        .map(|chain| rule.spot.beside(chain))
        .collect();
    if spots.iter().any(|spot| accepting.contains(spot)) {
        // Some of TCP may be accepted there.
        return Some(Rule {
            names: Names::Tcp,
            narrowed: true,
            does: Does::Accept,
            ..rule
        });
    }
    // Such as one that logs and drops whatever is sent to it.
    let ending = match spots.as_slice() {
        [to] => ending.iter().find(|ending| ending.spot == *to),
        _ => None,
    };
    match (ending, rule.does) {
        (Some(ending), _) if rule.names == Names::Bgp => Some(Rule {
            does: ending.does,
            through: Some(ending.spot.clone()),
            ..rule
        }),
        (Some(ending), Does::Return) if !ending.returns => None,
        // Sent there for good, it comes back to where this chain was led to from.
        (_, Does::Return) => Some(Rule {
            names: match rule.names {
                Names::Chains => Names::Tcp,
                names => names,
            },
            ..rule
        }),
        _ => None,
    }
}

/// Chains in which TCP may be accepted, or in those to which they lead.
fn accepting(chains: &[Chain]) -> Vec<Spot> {
    let accepts = |rule: &Rule| {
        // What one does that leads elsewhere, the chains there tell.
        rule.leads.is_empty() && rule.does == Does::Accept && rule.names.accepts(Names::Bgp)
    };
    let own = chains.iter().filter(|c| c.rules.iter().any(accepts));
    let mut found: Vec<Spot> = own.map(|c| c.spot.clone()).collect();
    loop {
        let leads = |chain: &&Chain| {
            let to =
                |spot: &Spot| spot.same_table(&chain.spot) && chain.jumps.contains(&spot.chain);
            !found.contains(&chain.spot) && found.iter().any(to)
        };
        let more: Vec<Spot> = chains
            .iter()
            .filter(leads)
            .map(|c| c.spot.clone())
            .collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}
