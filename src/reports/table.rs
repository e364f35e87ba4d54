//! Tables of text without borders, as wide as the terminal, or unbroken for a pipe.

use comfy_table::{Attribute, Cell, CellAlignment, ColumnConstraint, ContentArrangement, Width, presets};

/// Where a table will be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Columns to fit into; `None`: no line is broken, as in a pipe.
    pub width: Option<u16>,
    /// Escape codes may be used.
    pub colour: bool,
}

impl Style {
    /// For pipes and files: nothing is broken, nothing is coloured.
    pub const PLAIN: Style = Style { width: None, colour: false };
}

/// How the text of a column stands, and whether it may be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Text that is never broken: ids, names.
    Whole(&'static str),
    /// Text that goes on in the next line when the terminal is narrow.
    Text(&'static str),
    /// A number: right-aligned, never broken.
    Number(&'static str),
}

impl Column {
    fn title(self) -> &'static str {
        match self {
            Column::Whole(title) | Column::Text(title) | Column::Number(title) => title,
        }
    }
}

/// A table on its way to text.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(columns: impl Into<Vec<Column>>) -> Self {
        Table { columns: columns.into(), rows: Vec::new() }
    }

    /// Adds a row: a text for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(|cell| clean(&cell.into())).collect());
    }

    /// True when there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text: lines without trailing blanks, each with its line end. Columns in which every row is
    /// empty are left out.
    pub fn render(&self, style: Style) -> String {
        let used: Vec<usize> = (0..self.columns.len())
            .filter(|&at| self.rows.iter().any(|row| row.get(at).is_some_and(|cell| !cell.is_empty())))
            .collect();
        let mut table = comfy_table::Table::new();
        table.load_preset(presets::NOTHING);
        if style.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        table.set_header(used.iter().map(|&at| {
            let cell = Cell::new(self.columns[at].title());
            if style.colour { cell.add_attribute(Attribute::Bold) } else { cell }
        }));
        for row in &self.rows {
            table.add_row(used.iter().map(|&at| row.get(at).map_or("", String::as_str)));
        }
        match style.width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        for (place, &at) in used.iter().enumerate() {
            let Some(column) = table.column_mut(place) else { continue };
            let gap = if place + 1 < used.len() { 2 } else { 0 };
            column.set_padding((0, gap));
            match self.columns[at] {
                Column::Number(_) => {
                    column.set_cell_alignment(CellAlignment::Right);
                    column.set_constraint(ColumnConstraint::ContentWidth);
                }
                Column::Whole(_) => {
                    column.set_constraint(ColumnConstraint::ContentWidth);
                }
                Column::Text(_) => {
                    column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(11)));
                }
            }
        }
        let mut text = String::new();
        for line in table.lines() {
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Text of others (names of tables, reasons of a hold) must not move the cursor or colour the screen.
pub fn clean(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new([
            Column::Whole("ID"),
            Column::Number("ROWS"),
            Column::Text("WHY"),
            Column::Text("NOTE"),
        ]);
        table.row(["20261124T020000Z-7f3k9q", "12,000", "newest, daily 1/7 (2026-11-24)", ""]);
        table.row([
            "20261123T020000Z-aaaaaa",
            "9",
            "daily 2/7 (2026-11-23), weekly 1/4 (2026-W47), monthly 1/12 (2026-11), yearly 1/3 (2026)",
            "",
        ]);
        table
    }

    #[test]
    fn a_pipe_gets_one_line_a_row_without_escapes() {
        assert_eq!(
            sample().render(Style::PLAIN),
            "ID                         ROWS  WHY\n\
             20261124T020000Z-7f3k9q  12,000  newest, daily 1/7 (2026-11-24)\n\
             20261123T020000Z-aaaaaa       9  daily 2/7 (2026-11-23), weekly 1/4 (2026-W47), monthly 1/12 \
             (2026-11), yearly 1/3 (2026)\n"
        );
    }

    #[test]
    fn a_terminal_gets_lines_that_fit() {
        let text = sample().render(Style { width: Some(80), colour: false });
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(text.lines().count() > 3, "{text}");
        assert!(text.contains("20261123T020000Z-aaaaaa "), "an id was broken: {text}");
    }

    #[test]
    fn colour_only_where_asked_for() {
        assert!(sample().render(Style { width: Some(80), colour: true }).contains('\u{1b}'));
        assert!(!sample().render(Style { width: Some(80), colour: false }).contains('\u{1b}'));
    }

    #[test]
    fn foreign_control_characters_are_shown_not_sent() {
        let mut table = Table::new([Column::Text("NAME")]);
        table.row(["evil\u{1b}[2J\nname"]);
        assert_eq!(table.render(Style::PLAIN), "NAME\nevil\\u{1b}[2J\\nname\n");
    }
}
