//! `host.command`: a program with its arguments, without a shell between.

use super::host_program::{Form, HostProgram, Scalar, Values};
use crate::model::Program;

pub struct Command;

impl Form for Command {
    const USES: &'static str = "host.command";
    const ABOUT: &'static str = "Programs with their arguments, and no shell between. Each is a list such as `[sysctl, -w, \"a.b=1\"]`. The step either only `reads`, or it has `apply`.";
    type Part = Vec<Scalar>;

    fn program(words: Vec<Scalar>, values: &Values) -> Result<Program, String> {
        if !values.args.is_empty() {
            return Err("`args` belongs to scripts; a command is its own arguments".to_owned());
        }
        let args = Values::new(words, Default::default())?.args;
        match args.first().map(String::as_str) {
            None | Some("") => Err("a command needs at least the name of a program".to_owned()),
            Some(name) if name.starts_with('-') => {
                Err(format!("`{name}` is not the name of a program"))
            }
            Some(_) => Ok(Program {
                script: None,
                args,
                env: values.env.clone(),
                secrets: values.secrets.clone(),
            }),
        }
    }
}

pub type HostCommand = HostProgram<Command>;
