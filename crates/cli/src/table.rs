//! Text tables for the terminal.

/// Formats lines of cells as aligned columns; the columns in `right` are right-aligned.
pub fn format_table<const N: usize>(lines: &[[String; N]], right: &[usize]) -> String {
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
    fn columns_are_aligned() {
        let lines = [["a", "1"], ["bcd", "10"]].map(|line| line.map(str::to_owned));
        assert_eq!(super::format_table(&lines, &[1]), "a     1\nbcd  10");
    }
}
