use super::Paint;

/// Lines of aligned columns under a faint heading, indented by two.
pub fn table<const N: usize>(paint: Paint, heading: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(heading[column].len())
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| {
            // Counted in characters, as names may be in any script.
            format!("{cell}{}", " ".repeat(width - cell.chars().count()))
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut text = format!("  {}\n", paint.faint(&line(heading)));
    for row in rows {
        text += &format!("  {}\n", line(row.each_ref().map(String::as_str)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            ["a".to_owned(), "x".to_owned()],
            ["wörter".to_owned(), String::new()],
        ];
        let text = table(Paint::Plain, ["NAME", "ADDRESS"], &rows);
        assert_eq!(text, "  NAME    ADDRESS\n  a       x\n  wörter\n");
    }
}
