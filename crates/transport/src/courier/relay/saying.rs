//! What is said to a relay that is up: puts, doors, mailboxes to be read, and how much of it at a time.

use std::collections::{BTreeMap, VecDeque};

use stonechat_wire::frame::{BATCH_MAX, ToRelay};
use stonechat_wire::ids::Timestamp;

use super::{FIRST_PUT_BYTES, Link, PUT_ITEMS, Relay, Request, Up, Wished};
use crate::courier::parcels::Parcels;
use crate::courier::truck::SPENT_PACKETS;
use crate::courier::{LinkId, Output};

impl Relay {
    /// Says everything that can be said: puts first, somebody waits for them.
    pub(in crate::courier) fn speak(&mut self, now: Timestamp, parcels: &mut Parcels, outputs: &mut VecDeque<Output>) {
        let Link::Up(Up {
            link, is_greeted: true, ..
        }) = self.link
        else {
            return;
        };
        if self.paused_until <= now && self.has_strength() {
            self.paused_until = Timestamp(0);
            self.say_puts(now, link, parcels, outputs);
            self.say_doors(link, outputs);
        }
        self.say_listening(link, outputs);
        self.note_waiting(now);
    }

    /// Whether something new may begin: on a short connection one thing at a time, and nothing near its end (TRK-3).
    fn has_strength(&self) -> bool {
        match &self.link {
            Link::Up(up) if up.load_max > 0 => self.requests.is_empty() && up.used.packets < SPENT_PACKETS,
            Link::Up(_) | Link::Down { .. } | Link::Dialling(_) => true,
        }
    }

    /// How much may be in flight now: on short connections no more than one of them carries, or a put would need several,
    /// and all of it again when one of those is lost (TRK-3).
    fn window_now(&self) -> usize {
        match &self.link {
            Link::Up(up) if up.load_max > 0 => FIRST_PUT_BYTES.min(self.window_bytes),
            Link::Up(_) | Link::Down { .. } | Link::Dialling(_) => self.window_bytes,
        }
    }

    fn say_puts(&mut self, now: Timestamp, link: LinkId, parcels: &mut Parcels, outputs: &mut VecDeque<Output>) {
        while let Some((at, id)) = self.full.first().copied().filter(|(at, _)| *at <= now) {
            self.full.remove(&(at, id));
            parcels.wait_again(self.id, id);
        }
        let window = self.window_now();
        while self.in_flight_bytes < window && parcels.has_waiting(self.id) {
            let room = window - self.in_flight_bytes;
            let (ids, items): (Vec<_>, Vec<_>) = parcels.take(self.id, PUT_ITEMS, room).into_iter().unzip();
            let flying: BTreeMap<_, _> = ids
                .into_iter()
                .zip(items.iter().map(|item| item.encoded_len()))
                .collect();
            self.in_flight_bytes += flying.values().sum::<usize>();
            let request = self.request(Request::Put(flying));
            outputs.push_back(Output::Send {
                link,
                frame: ToRelay::Put { request, items },
            });
        }
    }

    fn request(&mut self, request: Request) -> u32 {
        let number = self.next_request;
        // 0 is the relay's word for "no request of yours".
        self.next_request = self.next_request.wrapping_add(1).max(1);
        self.requests.insert(number, request);
        number
    }

    fn say_doors(&mut self, link: LinkId, outputs: &mut VecDeque<Output>) {
        let unsaid: Vec<_> = self
            .doors
            .iter()
            .filter(|(_, wish)| !wish.is_said)
            .map(|(path, _)| *path)
            .collect();
        for path in unsaid {
            let request = self.request(Request::Door(path));
            let Some(wish) = self.doors.get_mut(&path) else {
                continue;
            };
            wish.is_said = true;
            let frame = match &wish.wish {
                Wished::Open(door) => ToRelay::Door {
                    request,
                    path,
                    proof_hash: door.proof_hash,
                    key: door.key.clone(),
                    expires_s: door.expires_s,
                    card: door.card.clone(),
                },
                Wished::Closed(key) => ToRelay::CloseDoor {
                    request,
                    path,
                    key: key.clone(),
                },
            };
            outputs.push_back(Output::Send { link, frame });
        }
    }

    fn say_listening(&mut self, link: LinkId, outputs: &mut VecDeque<Output>) {
        while !self.unsaid.is_empty() || !self.undropped.is_empty() {
            let tags: Vec<_> = std::iter::from_fn(|| self.unsaid.pop_first()).take(BATCH_MAX).collect();
            let cursors = tags
                .iter()
                .filter_map(|(_, tag)| Some((*tag, self.listening.get(tag)?.cursor)));
            let add = cursors.collect();
            let drop = std::iter::from_fn(|| self.undropped.pop_first())
                .take(BATCH_MAX)
                .collect();
            outputs.push_back(Output::Send {
                link,
                frame: ToRelay::Subscribe { add, drop },
            });
        }
    }
}
