//! What the README shows is what there is.

#[cfg(test)]
mod tests {
    #[test]
    fn its_runbook_is_the_one_among_the_examples() {
        let readme = include_str!("../README.md");
        let example = include_str!("../examples/look-after.yaml");
        assert!(readme.contains(&format!("```yaml\n{example}```")));
        runbook::runbook::read(example, "look-after.yaml").unwrap();
    }
}
