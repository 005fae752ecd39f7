//! Lines of a bounded length.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
};

use super::MAX_LINE;

/// What was read.
pub(super) enum Line {
    /// It is in the buffer, with its line end if it has one.
    Whole,
    /// It is longer than a line may be; the buffer has its beginning.
    TooLong,
    /// There is none left.
    End,
}

/// A file that is read in pieces which end where `ends` says so.
pub(super) struct Lines {
    reader: BufReader<File>,
    /// Line ends so far.
    pub(super) ends: u64,
    /// Bytes so far.
    pub(super) bytes: u64,
}

impl Lines {
    pub(super) fn new((reader, bytes): (BufReader<File>, u64)) -> Self {
        Self {
            reader,
            ends: 0,
            bytes,
        }
    }

    /// Puts the next piece into `line`: up to a line end, with `quoting` up to one that is outside
    /// of quotes.
    pub(super) fn next(&mut self, line: &mut Vec<u8>, quoting: bool) -> io::Result<Line> {
        line.clear();
        let (mut at, mut is_long, mut any) = (At::Start, false, false);
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(match (any, is_long) {
                    (false, _) => Line::End,
                    (true, true) => Line::TooLong,
                    (true, false) => Line::Whole,
                });
            }
            any = true;
            let end = if quoting {
                end_of_record(buffer, &mut at, &mut self.ends)
            } else {
                let end = buffer.iter().position(|byte| *byte == b'\n');
                self.ends += u64::from(end.is_some());
                end.map(|end| end + 1)
            };
            let taken = end.unwrap_or(buffer.len());
            let room = MAX_LINE.saturating_sub(line.len());
            is_long |= taken > room;
            line.extend_from_slice(&buffer[..taken.min(room)]);
            self.reader.consume(taken);
            self.bytes += taken as u64;
            if end.is_some() {
                return Ok(if is_long { Line::TooLong } else { Line::Whole });
            }
        }
    }
}

/// Where in a record a byte stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// Where a field begins.
    Start,
    /// In a field without quotes, where a quote means nothing.
    Plain,
    /// Inside of quotes.
    Quoted,
    /// Behind a quote inside of quotes: the end of the field, or the first of two.
    Quote,
}

/// Behind the first line end that is outside of quotes.
fn end_of_record(buffer: &[u8], at: &mut At, lines: &mut u64) -> Option<usize> {
    for (index, byte) in buffer.iter().enumerate() {
        if *byte == b'\n' {
            *lines += 1;
            if *at != At::Quoted {
                return Some(index + 1);
            }
        }
        *at = match (*at, byte) {
            (At::Quoted, b'"') => At::Quote,
            (At::Start | At::Quote, b'"') | (At::Quoted, _) => At::Quoted,
            (_, b',') => At::Start,
            _ => At::Plain,
        };
    }
    None
}
