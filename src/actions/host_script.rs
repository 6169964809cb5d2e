//! `host.script`: literal scripts for a POSIX shell. Values reach them as `args` and `env`.

use super::host_program::{Form, HostProgram, Values};
use crate::model::Program;

pub struct Script;

impl Form for Script {
    const USES: &'static str = "host.script";
    const ABOUT: &'static str = "Literal scripts for a POSIX shell. Values reach them by `env` and `args`; a template in a script is an error. The step either only `reads`, or it has `apply`.";
    const LITERAL: &'static [&'static str] = &["reads", "check", "apply", "verify", "undo"];
    type Part = String;

    fn program(script: String, values: &Values) -> Result<Program, String> {
        if script.trim().is_empty() {
            return Err("a script is empty".to_owned());
        }
        if script.contains('\0') {
            return Err("a script has a NUL in it".to_owned());
        }
        Ok(Program {
            script: Some(script),
            args: values.args.clone(),
            env: values.env.clone(),
            secrets: values.secrets.clone(),
        })
    }
}

pub type HostScript = HostProgram<Script>;
