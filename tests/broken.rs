//! Runbooks with mistakes as people make them, in `tests/broken/`, and what is said of each.

#[cfg(test)]
mod tests {
    use runbook::actions::kinds;
    use runbook::runbook::Library;
    use runbook::views::render_fault;
    use std::fs;
    use std::path::Path;

    #[test]
    fn each_mistake_is_said_with_its_place_and_what_to_do() {
        console::set_colors_enabled_stderr(false);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned))
            .collect();
        names.sort();
        assert!(names.len() > 60);
        let library = Library::new(kinds(), Vec::new());
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("broken/said");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| {
            for name in names {
                // The path as it is given is what stands in the messages.
                let fault = library
                    .find(&format!("tests/broken/{name}.yaml"))
                    .expect_err(&name);
                assert_eq!(fault.code, "runbook_wrong", "{name}");
                insta::assert_snapshot!(name, render_fault(&fault));
            }
        });
    }
}
