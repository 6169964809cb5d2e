use super::*;
use proptest::prelude::*;
use std::io::{Read, Write};
use std::process::{Command, Stdio as Pipe};

const NONCE: &str = "NONCE";

fn frame<'f>(script: &'f str, args: &'f [&'f str], input: &'f [u8]) -> Frame<'f> {
    Frame {
        script,
        args,
        input,
        limit: Duration::from_secs(10),
    }
}

/// Runs frames in the loop under a shell of this machine, without ssh.
fn under(shell: &[&str], frames: &[Frame<'_>]) -> Vec<Answer> {
    let (program, args) = shell.split_first().unwrap();
    let text = format!("nonce={NONCE}\n{LOOP}");
    let mut child = Command::new(program)
        .args(args)
        .args(["-c", &text])
        .stdin(Pipe::piped())
        .stdout(Pipe::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut heard = Vec::new();
    let mut until = |heard: &mut Vec<u8>, sign: &str| {
        let mut byte = [0];
        while find(heard, sign.as_bytes()).is_none() || !heard.ends_with(b"\n") {
            assert_eq!(
                stdout.read(&mut byte).unwrap(),
                1,
                "{}",
                String::from_utf8_lossy(heard)
            );
            heard.push(byte[0]);
        }
    };
    until(&mut heard, &format!("\n{NONCE} ready "));
    assert!(matches!(greeting(&heard, NONCE), Greeting::Ready { .. }));
    let mut answers = Vec::new();
    for (n, frame) in frames.iter().enumerate() {
        let n = n as u64 + 1;
        heard.clear();
        stdin.write_all(&encode(frame, NONCE, n).unwrap()).unwrap();
        stdin.write_all(frame.input).unwrap();
        until(&mut heard, &format!("\n{NONCE} end {n} "));
        answers.push(parse(&heard, NONCE, n).unwrap());
    }
    drop(stdin);
    child.wait().unwrap();
    answers
}

fn out(answer: &Answer) -> &str {
    assert_eq!(answer.code, 0, "{answer:?}");
    std::str::from_utf8(&answer.stdout).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn arguments_and_input_reach_a_script_as_they_are(arg in "[^\0]{0,30}", input in any::<Vec<u8>>()) {
        let script = "printf '%s|' \"$#\" \"$@\"; [ ! -e \"$frame/input\" ] || cat \"$frame/input\"";
        let args = [arg.as_str(), "", "\n\\0101 \n"];
        let answers = under(&["/bin/sh"], &[frame(script, &args, &input)]);
        let expected = [format!("3|{arg}||\n\\0101 \n|").as_bytes(), &input].concat();
        prop_assert_eq!(&answers[0].stdout, &expected);
    }
}

#[test]
fn each_frame_has_its_own_code_and_outputs() {
    let frames = [
        frame("echo one; echo two >&2; exit 3", &[], b""),
        frame("cat; printf 'no newline'", &[], b""),
        frame("kill -9 $$", &[], b""),
        frame("printf 'a\\0b\\n'", &[], b""),
    ];
    let answers = under(&["/bin/sh"], &frames);
    assert_eq!(
        answers[0],
        Answer {
            code: 3,
            stdout: b"one\n".to_vec(),
            stderr: b"two\n".to_vec()
        }
    );
    assert_eq!(out(&answers[1]), "no newline");
    assert_eq!(answers[2].code, 137);
    assert_eq!(answers[3].stdout, b"a\0b\n");
}

#[test]
fn a_greeting_is_told_from_what_else_is_said() {
    let said = |text: &str| greeting(text.as_bytes(), NONCE);
    for nothing in [
        "",
        "welcome\n",
        "NONCE ready 0 b\n",
        "\nNONCE ready 0",
        // What was sent to a host that sends it back.
        "nonce='NONCE'\nprintf '\\n%s ready %s\\n' \"$nonce\"",
        "NONCE prompt and more",
        "Password: ",
        "\nNONCE su\nPassword: wrong\n",
    ] {
        assert_eq!(said(nothing), Greeting::NotYet, "{nothing:?}");
    }
    assert_eq!(
        said("hi\nNONCE ready 0 boot\nx"),
        Greeting::Ready {
            boot: "boot".into(),
            rest: 22
        }
    );
    assert_eq!(said("lecture\nNONCE prompt"), Greeting::Prompt { nth: 1 });
    assert_eq!(
        said("NONCE prompt\nSorry, try again.\nNONCE prompt"),
        Greeting::Prompt { nth: 2 }
    );
    assert_eq!(said("\nNONCE su\nPassword: "), Greeting::Prompt { nth: 1 });
    assert_eq!(
        said("\nNONCE failed it lacks setsid\n"),
        Greeting::Said("failed it lacks setsid".into())
    );
}

#[test]
fn why_nobody_became_root_is_told_from_what_was_said() {
    let root = Identity::root();
    let fault = |said: &str| not_become("node02", &root, said, false);
    let codes: Vec<String> = [
        "sudo: a password is required",
        "sudo: sorry, you must have a tty to run sudo",
        "ops is not in the sudoers file.",
        "Sorry, user ops is not allowed to execute '/bin/sh' as root on node02.",
        "sudo: 1 incorrect password attempt",
        "su: Authentication failure",
        "sudo: unknown user: root",
        "This account is currently not available.",
        "",
    ]
    .iter()
    .map(|said| format!("{}: {}", fault(said).code, fault(said).message))
    .collect();
    insta::assert_snapshot!(codes.join("\n"));
}
