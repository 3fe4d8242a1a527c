//! Tables for the terminal.

/// Lines of cells with their columns one under the other; those at `right` end in line, the others begin in line.
pub fn aligned<const N: usize>(lines: &[[String; N]], right: &[usize]) -> String {
    let width = |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |cells: &[String; N]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(widths)
            .enumerate()
            .map(
                |(column, (cell, width))| {
                    if right.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
                },
            )
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_stand_one_under_the_other() {
        let lines = [["a", "1"], ["bcd", "10"]].map(|line| line.map(str::to_owned));
        assert_eq!(super::aligned(&lines, &[1]), "a     1\nbcd  10");
    }
}
