//! Journals and plans as they were written once: every later version opens, shows, exports, imports
//! and judges them. `tests/fixtures/` is only ever added to.

#[cfg(test)]
mod tests {
    use runbook::engine::End;
    use runbook::journal::{EffectState, Imported, RunRecord, StateDir};
    use runbook::model::RunId;
    use runbook::plan::{SavedPlan, automatic, digest};
    use runbook::views::{State, render_history, render_plan};
    use std::fs;
    use std::path::{Path, PathBuf};

    fn fixtures() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
    }

    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            match entry.path().is_dir() {
                true => copy(&entry.path(), &to),
                false => {
                    fs::copy(entry.path(), to).unwrap();
                }
            }
        }
    }

    /// A copy of a version's state directory: what is committed stays as it is.
    fn state(version: &str) -> (tempfile::TempDir, StateDir) {
        let dir = tempfile::tempdir().unwrap();
        copy(&fixtures().join(version).join("state"), dir.path());
        let state = StateDir::new(dir.path().to_owned());
        (dir, state)
    }

    /// What a run's journal comes to, without what depends on the reader.
    fn story(state: &StateDir, run: RunId) -> String {
        let record = state.read(run).unwrap();
        let shown = render_history(&record, &state.entries(run).unwrap(), State::Ended);
        let shown: Vec<&str> = shown.lines().filter(|l| !l.contains("started")).collect();
        let effects: Vec<String> = record.effects.iter().map(effect).collect();
        format!(
            "{}\n\n{}\nend: {:?}\nautomatic undo: {:?}\n",
            shown.join("\n"),
            effects.join("\n"),
            End::of(&record).map(|end| (end.ending, end.made, end.left)),
            automatic(&record),
        )
    }

    fn effect(effect: &runbook::journal::EffectRecord) -> String {
        let state = match effect.state {
            EffectState::Open => "open",
            EffectState::Done => "done",
            EffectState::NotOurs => "not ours",
        };
        let back = effect.effect.inverse().is_some();
        format!("{} {state}, can be put back: {back}", effect.id)
    }

    #[test]
    fn journals_of_0_1_0_open_and_tell_the_same_story() {
        let (_dir, state) = state("0.1.0");
        let mut runs = state.list().unwrap();
        runs.sort();
        let stories: Vec<String> = runs.iter().map(|run| story(&state, *run)).collect();
        insta::assert_snapshot!(stories.join("\n========\n"));
    }

    #[test]
    fn journals_of_0_1_0_are_carried_over_with_all_that_undo_needs() {
        let (_dir, here) = state("0.1.0");
        let dir = tempfile::tempdir().unwrap();
        let there = StateDir::new(dir.path().to_owned());
        for run in here.list().unwrap() {
            let text = here.export(run).unwrap();
            let imported = there.import(&text, Path::new("x")).unwrap();
            assert_eq!(imported, (run, Imported::New));
            assert_eq!(there.entries(run).unwrap(), here.entries(run).unwrap());
            let record: RunRecord = there.read(run).unwrap();
            for done in record.to_take_back() {
                for digest in done.effect.contents() {
                    assert!(there.blob(run, digest).is_ok());
                }
            }
        }
    }

    #[test]
    fn an_export_of_0_1_0_is_taken_in() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::new(dir.path().to_owned());
        let path = fixtures().join("0.1.0/five-steps.runbook-run");
        let text = fs::read_to_string(&path).unwrap();
        let (run, imported) = state.import(&text, &path).unwrap();
        assert_eq!(imported, Imported::New);
        // Written out again, it is the same, byte for byte.
        assert_eq!(state.export(run).unwrap(), text);
    }

    #[test]
    fn plans_of_0_1_0_are_shown_and_applied_by_their_own_version_only() {
        for name in ["five-steps", "fix-bgp-wrong-ip", "language"] {
            let path = fixtures().join(format!("0.1.0/{name}.json"));
            let saved = SavedPlan::read(&path).unwrap();
            let own = env!("CARGO_PKG_VERSION") == "0.1.0";
            assert_eq!(saved.check_engine().is_ok(), own);
            let shown = format!(
                "{}\ndigest {}",
                render_plan(&saved.plan),
                digest(&saved.plan)
            );
            insta::assert_snapshot!(format!("plan-of-0.1.0-{name}"), shown);
        }
    }
}
