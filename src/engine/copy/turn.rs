//! Whose turn it is where reading and writing alternate: every buffer at work is filled before the first of
//! them is written, and all of them are written before the next one is filled.

/// The turn, and how many buffers wait to be written or are being written.
#[derive(Debug, Default)]
pub(super) struct Turn {
    writes: bool,
    loaded: usize,
}

impl Turn {
    /// True while buffers may be filled.
    pub(super) fn may_read(&self) -> bool {
        !self.writes
    }

    /// A buffer has been filled.
    pub(super) fn load(&mut self) {
        self.loaded += 1;
    }

    /// True if a filled buffer may be written, where so many are at work: it is then the turn of all.
    pub(super) fn may_write(&mut self, at_work: usize) -> bool {
        self.writes |= self.loaded >= at_work;
        self.writes
    }

    /// A filled buffer has been written, or its copy was given up.
    pub(super) fn end(&mut self) {
        self.loaded = self.loaded.saturating_sub(1);
        self.writes &= self.loaded > 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_before_all_is_read_and_nothing_read_before_all_is_written() {
        let mut turn = Turn::default();
        turn.load();
        assert!(turn.may_read() && !turn.may_write(2));
        turn.load();
        assert!(turn.may_write(2) && !turn.may_read());
        turn.end();
        assert!(!turn.may_read() && turn.may_write(2), "the other one is still to be written");
        turn.end();
        assert!(turn.may_read());
    }

    #[test]
    fn who_gives_up_holds_nobody_back() {
        let mut turn = Turn::default();
        turn.load();
        assert!(!turn.may_write(2));
        assert!(turn.may_write(1), "the other one has ended before it had read anything");
        turn.end();
        assert!(turn.may_read());
    }
}
