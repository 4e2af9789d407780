//! Branches: whether everybody ends on the same one.
//!
//! In: the devices' databases. Out: sentences about conversations whose members write to different epochs.

use std::collections::BTreeMap;

use super::World;

impl World {
    /// Two devices of one conversation write to one epoch, and keep no more of them than they may.
    pub(crate) fn check_branches(&mut self) {
        let mut heads: BTreeMap<Vec<u8>, (usize, Vec<u8>)> = BTreeMap::new();
        for d in (0..self.nodes.len()).filter(|d| self.lives(*d)).collect::<Vec<_>>() {
            let outside = !self.plan.deeds.is_empty() && !self.members().contains(&d);
            let which = if outside {
                "grouped = 0 AND gone = 0"
            } else {
                "gone = 0"
            };
            let sql = &format!("SELECT group_id, head FROM conversation WHERE {which}");
            let rows: Vec<(Vec<u8>, Vec<u8>)> = self.nodes[d].device.rows(sql, |row| Ok((row.get(0)?, row.get(1)?)));
            for (group, head) in rows {
                let (first, there) = heads.entry(group).or_insert_with(|| (d, head.clone())).clone();
                // A renewal may be on its way; then one of them knows both.
                let sql = "SELECT leaf FROM epoch WHERE epoch_id = ?";
                let mut knows = |d: usize, epoch: &[u8]| self.nodes[d].device.holds(sql, [epoch]);
                if there != head && !knows(d, &there) && !knows(first, &head) {
                    self.broke(format!("devices {first} and {d} write to different branches"));
                }
            }
            let sql = "SELECT parent FROM epoch WHERE parent IS NOT NULL GROUP BY group_id, parent HAVING count(*) > 1";
            let forks = self.nodes[d].device.rows(sql, |row| row.get::<_, Vec<u8>>(0));
            self.forks.extend(forks);
            // As many beside the head's branch as on it (EPO-4), and in a big group older ones for commits (EPO-10).
            let sql = "SELECT count(*) FROM epoch WHERE mailbox_root IS NOT NULL AND far = 0 GROUP BY group_id";
            let open: Vec<u32> = self.nodes[d].device.rows(sql, |row| row.get(0));
            if open.iter().any(|count| *count > 64) {
                self.broke(format!("device {d} keeps the keys of {open:?} epochs"));
            }
        }
    }
}
