//! Repeatable randomness: the seed is printed, and `PERSISTCP_SEED` sets it.

pub(crate) struct Random(u64);

impl Random {
    /// From `PERSISTCP_SEED`, or always the same.
    pub(crate) fn seeded() -> Self {
        let seed = std::env::var("PERSISTCP_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_260_101);
        println!("PERSISTCP_SEED={seed}");
        Self(seed)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
