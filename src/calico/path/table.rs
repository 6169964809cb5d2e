//! What was seen of each session, in rows: one for each way.

use super::judge::Hosts;
use super::reading::{HostPath, PeerPath, Ping, Route, Tcp};
use super::sessions::{End, Pair, State};

/// So many sessions are shown.
const SHOWN: usize = 12;

pub(super) fn rows(pairs: &[&Pair], hosts: &Hosts, port: u16) -> Vec<String> {
    if pairs.is_empty() {
        return Vec::new();
    }
    let mut cells = vec![[
        "from → to".to_owned(),
        "route".to_owned(),
        "ping".to_owned(),
        format!("TCP {port}"),
        "BIRD here".to_owned(),
        "session".to_owned(),
    ]];
    for pair in pairs.iter().take(SHOWN) {
        // Of an end that is no node, nothing is known.
        let ways = pair.both().into_iter().filter(|(from, _)| from.is_node);
        cells.extend(ways.map(|(from, to)| row(from, to, hosts)));
    }
    let widths: Vec<usize> = (0..6)
        .map(|at| {
            let width = |row: &[String; 6]| row.get(at).map_or(0, |c| c.chars().count());
            cells.iter().map(width).max().unwrap_or(0)
        })
        .collect();
    let mut rows: Vec<String> = cells
        .iter()
        .map(|row| {
            let padded = row.iter().zip(&widths).map(|(cell, width)| {
                let pad = width.saturating_sub(cell.chars().count());
                format!("{cell}{}", " ".repeat(pad))
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
        .collect();
    if pairs.len() > SHOWN {
        rows.push(format!("and {} sessions more", pairs.len() - SHOWN));
    }
    rows
}

fn row(from: &End, to: &End, hosts: &Hosts) -> [String; 6] {
    let host = hosts.get(&from.name).and_then(|h| h.as_ref().ok());
    let tried = host.and_then(|h| h.peer(to.address));
    let unknown = || "unknown".to_owned();
    [
        format!("{} → {}", from.name, to.name),
        tried.map_or_else(unknown, |t| route(t, from)),
        tried.map_or_else(unknown, ping),
        tried.map_or_else(unknown, |t| tcp(&t.tcp)),
        host.map_or_else(unknown, |h| bird(h, from)),
        match &from.says {
            State::Established => "established".to_owned(),
            State::Down(says) => says.trim().to_owned(),
            State::Missing => "no such session is shown".to_owned(),
            State::Unknown => unknown(),
        },
    ]
}

fn route(tried: &PeerPath, from: &End) -> String {
    match &tried.route {
        Route::Out { dev, via, src } => {
            let mut text = dev.clone();
            if let Some(via) = via {
                text.push_str(&format!(" via {via}"));
            }
            if let Some(src) = src.filter(|src| *src != from.address) {
                text.push_str(&format!(" as {src}, not {}", from.address));
            }
            text
        }
        Route::Own => "to itself".to_owned(),
        Route::None { what, .. } => (*what).to_owned(),
        Route::Unknown(why) => format!("unknown ({why})"),
    }
}

fn ping(tried: &PeerPath) -> String {
    match &tried.ping {
        Ping::Answers => "answers".to_owned(),
        Ping::Silent => match &tried.neighbour {
            Some(neighbour) if neighbour.is_missing() => {
                format!("no answer ({})", neighbour.state)
            }
            _ => "no answer".to_owned(),
        },
        Ping::Unknown(why) => format!("unknown ({why})"),
    }
}

fn tcp(tcp: &Tcp) -> String {
    match tcp {
        Tcp::Connected => "connected".to_owned(),
        Tcp::Refused => "refused".to_owned(),
        Tcp::Silent => "no answer".to_owned(),
        Tcp::NoWay(said) => said.to_lowercase(),
        Tcp::Untried => "unknown (no tool)".to_owned(),
    }
}

fn bird(host: &HostPath, end: &End) -> String {
    match host.listens_at(end.address) {
        Some(true) => "listens",
        Some(false) => "does not listen",
        None => "unknown",
    }
    .to_owned()
}
