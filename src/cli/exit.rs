//! Exit codes.

use crate::engine::End;
use crate::fault::Class;
use crate::journal::Ending;
use std::process::ExitCode;

/// What the program's exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done = 0,
    /// Failed, and nothing of it remains.
    Failed = 1,
    Input = 2,
    /// Drift, a lock, a confirmation, a precondition.
    Refused = 3,
    Unreachable = 4,
    /// `plan --exit-code` found changes.
    Changes = 5,
    /// Effects remain, or an outcome is unknown.
    Remains = 6,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// Of a fault before any effect.
    pub fn of(class: Class) -> Self {
        match class {
            Class::Input => Self::Input,
            Class::Refused => Self::Refused,
            Class::Unreachable => Self::Unreachable,
            Class::Indeterminate => Self::Remains,
            Class::Definite | Class::Internal => Self::Failed,
        }
    }

    /// The one that counts most where several apply.
    fn first_of(found: &[Self]) -> Self {
        [
            Self::Interrupted,
            Self::Input,
            Self::Remains,
            Self::Failed,
            Self::Refused,
            Self::Unreachable,
            Self::Changes,
        ]
        .into_iter()
        .find(|exit| found.contains(exit))
        .unwrap_or(Self::Done)
    }

    /// Of a run.
    pub fn of_run(end: &End) -> Self {
        let mut found = Vec::new();
        match &end.ending {
            Ending::Done => {}
            Ending::Stopped => found.push(Self::Interrupted),
            Ending::Drifted => found.push(Self::Refused),
            Ending::Unknown | Ending::Unverified => found.push(Self::Remains),
            Ending::Failed => found.push(match &end.fault {
                Some(fault) => Self::of(fault.class),
                None => Self::Failed,
            }),
        }
        if end.left > 0 || end.made > 0 && end.ending != Ending::Done {
            found.push(Self::Remains);
        }
        Self::first_of(&found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Fault;

    fn end(ending: Ending, made: usize, left: usize, fault: Option<Fault>) -> u8 {
        Exit::of_run(&End {
            ending,
            fault,
            made,
            left,
            put_back: 0,
        }) as u8
    }

    #[test]
    fn the_table_of_exit_codes() {
        let refused = || Some(Fault::refused("x", "x"));
        let unreachable = || Some(Fault::unreachable("x", "x"));
        assert_eq!(end(Ending::Done, 3, 0, None), 0);
        assert_eq!(end(Ending::Done, 1, 1, None), 6);
        assert_eq!(
            end(Ending::Failed, 0, 0, Some(Fault::definite("x", "x"))),
            1
        );
        assert_eq!(end(Ending::Failed, 0, 0, None), 1);
        assert_eq!(end(Ending::Failed, 0, 0, unreachable()), 4);
        assert_eq!(end(Ending::Failed, 0, 0, refused()), 3);
        assert_eq!(end(Ending::Failed, 1, 0, unreachable()), 6);
        assert_eq!(end(Ending::Drifted, 0, 0, refused()), 3);
        assert_eq!(end(Ending::Drifted, 2, 0, refused()), 6);
        assert_eq!(end(Ending::Unknown, 1, 0, None), 6);
        assert_eq!(end(Ending::Unverified, 1, 0, None), 6);
        assert_eq!(end(Ending::Unverified, 0, 0, None), 6);
        assert_eq!(end(Ending::Stopped, 1, 0, None), 130);
        // In the order in which they count.
        let order = [130, 2, 6, 1, 3, 4, 5, 0];
        let all = [
            Exit::Done,
            Exit::Failed,
            Exit::Input,
            Exit::Refused,
            Exit::Unreachable,
            Exit::Changes,
            Exit::Remains,
            Exit::Interrupted,
        ];
        for a in all {
            for b in all {
                let first = order.iter().find(|code| [a as u8, b as u8].contains(code));
                assert_eq!(Some(&(Exit::first_of(&[a, b]) as u8)), first);
            }
        }
        let of = |class| Exit::of(class) as u8;
        assert_eq!(of(Class::Input), 2);
        assert_eq!(of(Class::Refused), 3);
        assert_eq!(of(Class::Unreachable), 4);
        assert_eq!(of(Class::Definite), 1);
        assert_eq!(of(Class::Internal), 1);
        assert_eq!(of(Class::Indeterminate), 6);
    }
}
