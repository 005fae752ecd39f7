//! For a terminal.

use std::fmt;

use super::Stats;
use crate::database::check::printable;

/// Indexes that are shown at most.
const INDEXES: usize = 15;

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} on PostgreSQL {}, {}",
            printable(&self.database),
            printable(&self.server_version),
            size(self.size_bytes)
        )?;
        self.sessions(f)?;
        writeln!(
            f,
            "\nTables                             size    indexes       rows       dead  whole scans  index scans"
        )?;
        for table in &self.tables {
            writeln!(
                f,
                "  {:<28} {:>9} {:>9} {:>10} {:>10} {:>12} {:>12}",
                printable(&table.name),
                size(table.total_bytes),
                size(table.index_bytes),
                table.rows,
                table.dead_rows,
                table.whole_scans,
                table.index_scans
            )?;
        }
        writeln!(
            f,
            "\nIndexes, the least used first                           size      scans"
        )?;
        for index in self.indexes.iter().take(INDEXES) {
            let note = if index.is_unique { "  unique" } else { "" };
            let name = printable(&index.name);
            writeln!(
                f,
                "  {name:<48} {:>9} {:>10}{note}",
                size(index.bytes),
                index.scans
            )?;
        }
        if self.indexes.len() > INDEXES {
            writeln!(f, "  and {} more", self.indexes.len() - INDEXES)?;
        }
        self.slow(f)
    }
}

impl Stats {
    fn sessions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let here: i64 = self.connections.iter().map(|row| row.count).sum();
        writeln!(
            f,
            "\nConnections: {here} here, {} in other databases, {} at most",
            self.other_databases, self.max_connections
        )?;
        for row in &self.connections {
            let application = match row.application.as_str() {
                "" => "(no name)".to_owned(),
                name => printable(name),
            };
            let (state, count) = (printable(&row.state), row.count);
            let longest = row.longest_seconds;
            writeln!(
                f,
                "  {count:>4}  {application:<24} {state:<20} longest {longest:.0} s"
            )?;
        }
        writeln!(f, "\nEncryption")?;
        for row in &self.tls {
            let what = match (&row.version, &row.cipher) {
                (Some(version), Some(cipher)) => format!("{version}, {cipher}"),
                _ => format!("none ({} by a socket of the machine)", row.by_socket),
            };
            writeln!(f, "  {:>4}  {}", row.count, printable(&what))?;
        }
        if self.unseen > 0 {
            writeln!(
                f,
                "  {:>4}  unseen: GRANT pg_read_all_stats to this role to see them",
                self.unseen
            )?;
        }
        Ok(())
    }

    fn slow(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nSlow queries")?;
        if let Some(note) = &self.slow_queries.note {
            return writeln!(f, "  {note}");
        }
        writeln!(f, "      calls     mean ms    total ms  statement")?;
        for query in &self.slow_queries.queries {
            let text: Vec<&str> = query.query.split_whitespace().collect();
            let text = printable(&text.join(" "));
            let (calls, mean, total) = (query.calls, query.mean_ms, query.total_ms);
            writeln!(f, "  {calls:>9} {mean:>11.2} {total:>11.0}  {text}")?;
        }
        Ok(())
    }
}

/// A size in the largest unit that leaves a whole number before the point.
fn size(bytes: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "it is rounded anyway")]
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 1024.0 {
            let digits = usize::from(unit != "B" && value < 10.0);
            return format!("{value:.digits$} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_the_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (8192, "8.0 kB"),
            (20_000_000, "19 MB"),
            (1 << 42, "4.0 TB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
