//! The dead man's switch: a program that may cut the connection it comes by is put back by its host,
//! unless somebody comes back over a new connection in time. What decides is on the host, in
//! `host/switch.sh`; what is answered here only tells of it.

use super::program::{await_script, done_code, find_script, patience, ran};
use super::script::{LOCK_PATIENCE, Said, Script, ask_in};
use super::shell_loop::{Lost, Shell};
use super::ssh::{Hosts, TIMEOUT};
use crate::fault::{Fault, PUT_BACK};
use crate::inventory::Destination;
use crate::model::{ProgramNow, Programs, Ran, shell_quote};
use jiff::Timestamp;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const RUN: &str = concat!(
    include_str!("host/end_all.sh"),
    include_str!("host/guard.sh"),
    include_str!("host/marks.sh"),
    include_str!("host/program.sh"),
    include_str!("host/switch.sh"),
    include_str!("host/run_program.sh")
);
/// What runs on the host by itself.
const FIRE: &str = concat!(
    include_str!("host/end_all.sh"),
    include_str!("host/guard.sh"),
    include_str!("host/program.sh"),
    include_str!("host/switch.sh"),
    include_str!("host/fire.sh")
);
/// How long an answer over the old connection is waited for before a new one is made.
const SILENCE: Duration = Duration::from_secs(3);
/// How long a host is waited for once it has had the time to put everything back.
const RETURN: Duration = Duration::from_secs(60);
/// A new connection that says nothing is given up after three of these: the host may go away again.
const ALIVE: Duration = Duration::from_secs(2);

/// What was found over a new connection, with what was run to find it.
enum Found {
    /// The attempt has not begun.
    Waiting,
    Now(ProgramNow, Vec<Ran>),
}

/// One attempt at programs that have a switch.
pub(super) struct Armed<'a> {
    pub host: &'a Destination,
    pub programs: &'a Programs,
    pub key: &'a str,
    pub holder: &'a str,
    /// Check, apply and verify.
    pub texts: (String, String, String),
}

impl Hosts {
    /// Runs programs of which the host puts back by itself what cuts it off, and gives what was printed
    /// too. Whatever is answered to the frame that runs them, what the switch says is what counts.
    pub(super) async fn run_armed(&self, armed: &Armed<'_>) -> (Result<(), Fault>, Vec<Ran>) {
        let Armed { host, programs, .. } = armed;
        let Some((undo, seconds)) = programs.switch() else {
            return (Err(Fault::internal("there is no switch")), Vec::new());
        };
        let undo = match self.text(Some(undo)) {
            Ok(undo) => undo,
            Err(fault) => return (Err(fault), Vec::new()),
        };
        let (check, apply, verify) = &armed.texts;
        let (patience, limit) = (
            LOCK_PATIENCE.as_secs().to_string(),
            programs.limit.to_string(),
        );
        let (after, fire) = (seconds.to_string(), fire(programs, armed.key));
        let first = if programs.blind { "blind" } else { "look" };
        // What undoes our own goes by whether anybody came back. That is not known yet when it fails.
        let failed = match programs.own {
            Some(_) => "settled",
            None => "at once",
        };
        let args = [
            armed.key,
            armed.holder,
            &patience,
            &limit,
            done_code(programs),
            first,
            check,
            apply,
            verify,
            &after,
            &fire,
            &undo,
            failed,
        ];
        let mut script = Script::new(RUN, &args);
        script.limit = TIMEOUT + LOCK_PATIENCE + Duration::from_secs(4 * programs.limit);
        let begun = Instant::now();
        let give_up =
            begun + LOCK_PATIENCE + Duration::from_secs(seconds + programs.undo_limit()) + RETURN;
        let mut telling = pin!(self.tell(host, &programs.host, &script));
        let mut answer = timeout(SILENCE, &mut telling).await.ok();
        loop {
            if let Some(answer) = &answer
                && let Some(fault) = self.ended_before(armed, answer)
            {
                let ran = answer.as_ref().map(ran).unwrap_or_default();
                return (fault, ran);
            }
            self.wait_for(format!(
                "{0} is not reached over a new connection yet; {seconds} s after this was begun, {0} puts it back by itself",
                host.name
            ));
            let mut finding = pin!(self.find_anew(armed));
            let found = loop {
                tokio::select! {
                    found = &mut finding => break found,
                    said = &mut telling, if answer.is_none() => {
                        answer = Some(said);
                        // What was not even begun needs no new connection.
                        if let Some(Ok(said)) = &answer && !may_be_armed(said) {
                            break Ok(Found::Waiting);
                        }
                    }
                }
            };
            match found {
                Ok(Found::Now(now, seen)) => {
                    if answer.is_none() {
                        answer = timeout(ALIVE, &mut telling).await.ok();
                    }
                    let mut all = match &answer {
                        Some(Ok(said)) => ran(said),
                        _ => Vec::new(),
                    };
                    all.extend(seen);
                    return (self.judged(armed, now, answer.as_ref()), all);
                }
                Ok(Found::Waiting) => match &answer {
                    Some(Err(lost @ Lost::During(_))) => {
                        let fault = lost.clone().of_change(format_args!("running {programs}"));
                        return (Err(fault), Vec::new());
                    }
                    Some(Ok(said)) => {
                        let ran = ran(said);
                        return (self.outcome(host, programs, said, &ran), ran);
                    }
                    Some(Err(Lost::Before(_))) | None => {}
                },
                Err(fault) if Instant::now() >= give_up => {
                    let fault = Fault::indeterminate(
                        "host_lost",
                        format!(
                            "{} did not come back within {} s after {programs} was begun, though it was to put that back by itself after {seconds} s: {}",
                            host.name,
                            begun.elapsed().as_secs(),
                            fault.message
                        ),
                    );
                    let next = "look at the host's console; once it can be reached, `runbook resume` sees what became of it";
                    return (Err(fault.next(next)), Vec::new());
                }
                Err(fault) => tracing::debug!(host = host.name, "not yet: {fault}"),
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// The end of what certainly is not armed, by its answer over the old connection.
    fn ended_before(
        &self,
        armed: &Armed<'_>,
        answer: &Result<Said, Lost>,
    ) -> Option<Result<(), Fault>> {
        match answer {
            Err(Lost::Before(fault)) => Some(Err(fault.clone())),
            Ok(said) if !may_be_armed(said) => {
                Some(self.outcome(armed.host, armed.programs, said, &ran(said)))
            }
            Ok(_) | Err(Lost::During(_)) => None,
        }
    }

    /// How it stands, over a connection of its own. What was armed is decided by that.
    async fn find_anew(&self, armed: &Armed<'_>) -> Result<Found, Fault> {
        let Armed { host, programs, .. } = armed;
        let identity = &programs.host.identity;
        let mut shell = self.open(host, identity, ALIVE).await?;
        let said = self.settled_in(&mut shell, armed).await;
        shell.close().await;
        let said = said?;
        match said.word.as_str() {
            "waiting" => Ok(Found::Waiting),
            _ => Ok(Found::Now(self.found(host, programs, &said)?, ran(&said))),
        }
    }

    /// What decides is sent only once the host was heard after the programs had ended: what it received
    /// before would be done there, also where nobody can reach it any more.
    async fn settled_in(&self, shell: &mut Shell, armed: &Armed<'_>) -> Result<Said, Fault> {
        let Armed { host, programs, .. } = armed;
        let args = [armed.key, &patience(programs).as_secs().to_string()];
        let script = await_script(programs, &args);
        let said = ask_in(shell, host, &programs.host, &script).await?;
        if said.word == "waiting" {
            return Ok(said);
        }
        let args = self.find_args(programs, armed.key, true)?;
        let args = args.each();
        let script = find_script(programs, &args);
        ask_in(shell, host, &programs.host, &script).await
    }

    /// How the run of programs has ended, by what was found of them.
    fn judged(
        &self,
        armed: &Armed<'_>,
        now: ProgramNow,
        answer: Option<&Result<Said, Lost>>,
    ) -> Result<(), Fault> {
        match (now, answer) {
            (ProgramNow::Is { done: true }, _) => Ok(()),
            (ProgramNow::PutBack(fault), _) => Err(fault),
            (ProgramNow::Unclear(why), _) => {
                Err(Fault::indeterminate("not_put_back", why).next("look there what became of it"))
            }
            // It could not be armed, and says why.
            (ProgramNow::Is { done: false }, Some(Ok(said))) if said.word == "failed" => {
                self.outcome(armed.host, armed.programs, said, &[])
            }
            (ProgramNow::Is { done: false } | ProgramNow::Begun, _) => {
                let why = format!("{} was broken off before it had begun", armed.programs);
                Err(Fault::indeterminate("host_lost", why))
            }
        }
    }
}

/// Whether something may have been armed where this was answered.
fn may_be_armed(said: &Said) -> bool {
    ["applied", "broken", "failed"].contains(&said.word.as_str())
}

/// All that the host runs by itself.
fn fire(programs: &Programs, key: &str) -> String {
    let value = |name: &str, value: &str| format!("{name}={}\n", shell_quote(value));
    // It lies on that very machine: which one it is need not be looked at.
    format!(
        "{}{}set -- undo '' ''\n{FIRE}",
        value("key", key),
        value("limit", &programs.undo_limit().to_string()),
    )
}

/// How programs were put back, as the host tells it: how its undo ended, when, and why it was run.
pub(super) fn put_back(programs: &Programs, words: &str) -> ProgramNow {
    let host = &programs.host.node;
    let mut parts = words.splitn(3, ' ');
    let (code, at, why) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    if code == "running" {
        return ProgramNow::Unclear(format!(
            "{host} is putting it back by itself, and has not ended that yet"
        ));
    }
    let at = at
        .parse()
        .ok()
        .and_then(|at| Timestamp::from_second(at).ok())
        .map_or_else(String::new, |at| {
            let at = at.to_zoned(jiff::tz::TimeZone::system());
            format!(" at {} by its own clock", at.strftime("%H:%M:%S"))
        });
    let (first, rest) = why.split_once(' ').unwrap_or((why, ""));
    let seconds = programs.put_back_after.unwrap_or_default();
    let why = match (first, rest) {
        ("boot", _) => format!("{host} was started anew before it was reached again"),
        ("check", code) => format!("its `check` then said that it was not done (exit code {code})"),
        ("verify", code) => format!("its `verify` then failed (exit code {code})"),
        ("apply", "timeout") => format!("it was ended after {} s", programs.limit),
        ("apply", "killed") => "it was killed by somebody else".to_owned(),
        ("apply", code) => format!("it ended with exit code {code}"),
        ("long", _) => format!("it had not ended within {seconds} s"),
        ("cut", _) => "it was broken off in the middle".to_owned(),
        _ => format!("{host} was not reached again within {seconds} s"),
    };
    let what = format!("{programs} was run, and {why}");
    match code {
        "0" => ProgramNow::PutBack(
            Fault::definite(
                PUT_BACK,
                format!("{what}; {host} has put it back by itself{at} (its `undo` ended with 0)"),
            )
            .next("look why; `runbook resume` tries it again"),
        ),
        code => ProgramNow::Unclear(format!(
            "{what}; {host} ran its `undo` by itself{at}, and that ended with `{code}`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn what_a_host_says_of_it_is_said_in_words() {
        let programs = Programs {
            put_back_after: Some(30),
            ..Programs::for_test()
        };
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let at = at.to_zoned(jiff::tz::TimeZone::system());
        let said: Vec<String> = [
            "0 1700000000 time",
            "0 1700000000 boot",
            "0 1700000000 long",
            "0 1700000000 apply 7",
            "0 1700000000 apply timeout",
            "0 x check 1",
            "0 x verify 2",
            "0 x cut",
            "9 1700000000 time",
            "timeout x time",
            "running",
            "",
        ]
        .iter()
        .map(|words| match put_back(&programs, words) {
            ProgramNow::PutBack(fault) => format!("{:?}: {fault}", fault.class),
            ProgramNow::Unclear(why) => format!("unclear: {why}"),
            other => panic!("{other:?}"),
        })
        .map(|said| said.replace(&at.strftime("%H:%M:%S").to_string(), "(then)"))
        .collect();
        insta::assert_snapshot!(said.join("\n"));
    }

    /// Both decide at the same time, again and again: one of them does, and only one.
    #[test]
    fn one_rename_decides() {
        let folder = tempfile::tempdir().unwrap();
        let race = r#"
            keep() { :; }
            cd "$1"
            n=0 wrong=0 fired=0
            while [ "$n" -lt 200 ]; do
                n=$((n + 1)) switch=$1/$n
                mkdir "$switch"
                : >"$switch/armed"
                (decide armed fired && : >"$switch/one") &
                (decide armed disarmed && : >"$switch/other") &
                wait
                case $(ls "$switch" | tr '\n' ' ') in
                    'fired one ') fired=$((fired + 1)) ;;
                    'disarmed other ') ;;
                    *) wrong=$((wrong + 1)) ;;
                esac
            done
            echo "$wrong $fired""#;
        let text = format!("{}\n{race}", include_str!("host/switch.sh"));
        let ran = Command::new("/bin/sh")
            .args(["-c", &text, "sh"])
            .arg(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        let (wrong, fired) = said.trim().split_once(' ').unwrap();
        assert_eq!(wrong, "0", "{said}");
        // Neither always wins, or this was no race.
        assert!((1..200).contains(&fired.parse::<u32>().unwrap()), "{said}");
    }

    /// An author's is put back at once. Our own waits for somebody to come back, or for its time to be up.
    #[test]
    fn what_failed_is_put_back_at_once_or_stays_armed() {
        let stand_ins = "take_in() { :; }; take_lock() { :; }; begin_effect() { :; }; marks() { marks=/nowhere; }
            arm() { echo armed; }; mark_as() { echo \"$2\"; }; run() { code=7; }
            fire_now() { echo fired \"$*\"; }; say() { echo said \"$*\"; exit 0; }";
        let text = format!("{stand_ins}\n{}", include_str!("host/run_program.sh"));
        let run = |shell: &[&str], failed: &str| {
            let args = [
                "key", "who", "1", "1", "0", "blind", "", "a", "", "100", "fire", "undo", failed,
            ];
            let ran = Command::new(shell[0])
                .args(&shell[1..])
                .args(["-c", &text, "sh"])
                .args(args)
                .output()
                .unwrap();
            String::from_utf8_lossy(&ran.stdout).into_owned()
        };
        for shell in [&["/bin/dash"][..], &["/bin/busybox", "sh"]] {
            assert_eq!(
                run(shell, "at once"),
                "armed\nbegun\nended 7\nfired apply 7\nsaid applied 7\n"
            );
            assert_eq!(
                run(shell, "settled"),
                "armed\nbegun\nended 7\nsaid applied 7\n"
            );
        }
    }

    /// What systemd runs has all that the scripts before it take for themselves.
    #[test]
    fn what_fires_is_a_script_that_runs() {
        let guard = include_str!("host/guard.sh");
        let taken = guard.lines().find_map(|line| line.strip_prefix("shift "));
        let text = fire(&Programs::for_test(), "key");
        let given = text.lines().find_map(|line| line.strip_prefix("set -- "));
        let given = given.unwrap().split(' ').count();
        assert_eq!(taken.unwrap().parse(), Ok(given));
        let read = Command::new("/bin/sh").args(["-n", "-c", &text]).status();
        assert!(read.unwrap().success());
    }
}
