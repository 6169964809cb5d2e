//! What the README shows is what there is.

#[cfg(test)]
mod tests {
    #[test]
    fn its_runbook_is_the_one_among_the_examples() {
        let readme = include_str!("../README.md");
        let example = include_str!("../examples/look-after.yaml");
        assert!(readme.contains(&format!("```yaml\n{example}```")));
        runbook::runbook::read(example, "look-after.yaml", &runbook::actions::kinds()).unwrap();
    }

    #[test]
    fn its_mistake_is_said_as_it_shows() {
        console::set_colors_enabled_stderr(false);
        let readme = include_str!("../README.md");
        let example = include_str!("../examples/look-after.yaml");
        let wrong = example.replace("WHO: \"{{ params.who }}", "WHO: \"{{ params.whom }}");
        let kinds = runbook::actions::kinds();
        let problems = runbook::runbook::read(&wrong, "look-after.yaml", &kinds).unwrap_err();
        let shown = runbook::views::render_fault(&problems.into());
        assert!(readme.contains(&format!("```\n{shown}\n```")), "{shown}");
    }
}
