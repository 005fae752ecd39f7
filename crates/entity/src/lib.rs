//! One file per table: its shape, no behaviour.
