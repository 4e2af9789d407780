//! The one loop around the messenger, on a thread of its own.
//!
//! In: commands, the courier's news, the time. Out: answers, errands, events, each released only after the commit of
//! the step that made it. Clock and dice are given here and nowhere else. News that a full disk refuses is kept and
//! tried again; commands are answered meanwhile. Which profile file opens how is [`crate::machine`]'s job.

mod intake;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stonechat_core::api::{Command, Connection, Event, Fault, Reply};
use stonechat_core::query::Live;
use stonechat_core::store::Reader;
use stonechat_core::{Dice, Input, Outputs};
use stonechat_transport::carrier::means::Means;
use stonechat_wire::exchange::{NearRelay, News};
use stonechat_wire::ids::Timestamp;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};

use self::intake::{Intake, Outcome};
use crate::alarm::Alarm;
use crate::events::Events;
use crate::home::Home;
use crate::link::Link;
use crate::machine::{self, Machine, StepError};
use crate::near::NearLine;
use crate::random;
use crate::readers::{READERS, Readers};
use crate::rpc::Secret;
use crate::ways::{Change, Ways};

/// OpenMLS recurses deeply while it decodes.
const STACK_BYTES: usize = 8 << 20;
/// Commands and controls that wait.
const ASKS_MAX: usize = 64;
/// The clock is looked at again at least this often, since it may jump (a laptop that slept).
const NAP_MAX: Duration = Duration::from_secs(60);
/// What the courier learns is kept at most once in so long, and when the profile is closed.
const KEEP_WAYS_MS: u64 = 10_000;
/// So long after a step what it deleted may stand in the database's log (STO-6).
const CLEAN_AFTER_MS: u64 = 1_000;

/// What the rest of the daemon asks of the engine.
#[derive(Debug)]
pub(crate) enum Ask {
    /// A change, for core.
    Command(Command, oneshot::Sender<Result<Reply, Fault>>),
    /// Something about the profile as a whole.
    Control(Control, oneshot::Sender<Result<(), Fault>>),
}

/// What concerns the profile as a whole.
#[derive(Debug)]
pub(crate) enum Control {
    /// Sets, changes or removes the passphrase.
    PassphraseSet {
        /// The one in force.
        old: Option<Secret>,
        /// The next.
        new: Option<Secret>,
    },
    /// Closes it until the passphrase is given.
    Lock,
    /// Opens it.
    Unlock(Secret),
    /// Destroys it and begins a fresh one.
    Wipe,
    /// The near relay that this program has, or none.
    Near(Box<NearRelay>),
    /// Ends the loop.
    Stop,
}

/// What the engine shares with the rest of the daemon.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    /// Where changes are told.
    pub(crate) events: Arc<Events>,
    /// The connections for queries.
    pub(crate) readers: Arc<Readers>,
    /// What is known only while running.
    pub(crate) live: Arc<Mutex<Live>>,
    /// Envelopes and doors that no relay has confirmed yet.
    pub(crate) unconfirmed: watch::Sender<usize>,
    /// What is wanted of the near relay.
    pub(crate) near: NearLine,
    /// By what relays are reached: pages in a browser, a proxy, a program for bridges.
    pub(crate) means: Means,
}

impl Shared {
    /// A copy of what is known only while running.
    pub(crate) fn live(&self) -> Live {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The running loop's handle.
#[derive(Debug)]
pub(crate) struct Engine {
    asks: mpsc::Sender<Ask>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
}

impl Engine {
    /// Opens the profile and starts the loop on its thread.
    ///
    /// Errors: the system gives no thread. A profile that does not open is no error: it stays closed, and says why.
    pub(crate) fn start(
        home: Arc<Home>,
        passphrase: Option<Secret>,
        shared: Shared,
        runtime: Handle,
    ) -> std::io::Result<Self> {
        let (asks, receive) = mpsc::channel(ASKS_MAX);
        let (opened, wait) = std::sync::mpsc::sync_channel::<()>(1);
        let body = move || {
            let mut engine = Loop::new(home, shared, runtime);
            engine.open(passphrase.as_ref());
            drop(opened);
            engine.run(receive);
        };
        let thread = std::thread::Builder::new()
            .name("core".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(body)?;
        // Ends when the loop has opened the profile, or died trying.
        let _ = wait.recv();
        Ok(Self {
            asks,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues a change. Out: where its answer will be.
    pub(crate) async fn command(&self, command: Command) -> oneshot::Receiver<Result<Reply, Fault>> {
        let (answer, receive) = oneshot::channel();
        // A loop that ended drops the answer's sender, which the receiver sees.
        let _ = self.asks.send(Ask::Command(command, answer)).await;
        receive
    }

    /// Queues something about the profile as a whole. Out: where its answer will be.
    pub(crate) async fn control(&self, control: Control) -> oneshot::Receiver<Result<(), Fault>> {
        let (answer, receive) = oneshot::channel();
        let _ = self.asks.send(Ask::Control(control, answer)).await;
        receive
    }

    /// Waits until the loop ends, asked to or not.
    pub(crate) async fn ended(&self) {
        self.asks.closed().await;
    }

    /// Ends the loop and waits for its thread.
    pub(crate) async fn stop(&self) {
        let _ = self.control(Control::Stop).await.await;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(|| thread.join()).await;
        }
    }
}

impl Drop for Engine {
    /// Nobody asks any more: the loop closes the profile and ends. A process that ends before its thread would take
    /// the ground from under the database.
    fn drop(&mut self) {
        self.asks = mpsc::channel(1).0;
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

struct Loop {
    home: Arc<Home>,
    shared: Shared,
    runtime: Handle,
    dice: Dice,
    state: State,
    /// The near relay that runs beside this loop, once it was named.
    near: Option<NearRelay>,
}

enum State {
    Open(Box<Open>),
    Closed,
}

struct Open {
    machine: Machine,
    ways: Ways,
    news: mpsc::Receiver<News>,
    link: Link,
    intake: Intake,
    wake_at: Option<Alarm>,
    /// When the database's log is cut.
    clean_at: Option<Alarm>,
    /// When what the courier has learned is kept.
    keep_at: Option<Alarm>,
    /// Not before that.
    kept_until: Alarm,
}

enum Next {
    Changed(Change),
    Ask(Ask),
    News(News),
    Time,
    End,
}

impl Loop {
    fn new(home: Arc<Home>, shared: Shared, runtime: Handle) -> Self {
        Self {
            home,
            shared,
            runtime,
            dice: Dice::seeded(random::bytes()),
            state: State::Closed,
            near: None,
        }
    }

    fn run(&mut self, mut asks: mpsc::Receiver<Ask>) {
        let runtime = self.runtime.clone();
        loop {
            match runtime.block_on(self.next(&mut asks)) {
                Next::Ask(Ask::Command(command, answer)) => {
                    let _ = answer.send(self.command(command));
                }
                Next::Ask(Ask::Control(Control::Stop, answer)) => {
                    self.keep_ways();
                    // Not "locked": nobody is to be asked for a passphrase because the program ends.
                    self.close(Fault::Internal);
                    let _ = answer.send(Ok(()));
                    return;
                }
                Next::Ask(Ask::Control(control, answer)) => {
                    let _ = answer.send(self.control(control));
                }
                Next::News(news) => self.news(news),
                Next::Changed(Change::Learned) => {
                    self.learned();
                    self.tell_connection();
                }
                Next::Changed(Change::Tried) => {
                    self.tell_connection();
                    self.publish(vec![Event::StatusChanged {}]);
                }
                Next::Time => self.time(),
                Next::End => return self.close(Fault::Internal),
            }
        }
    }

    /// Commands first: a person waits for them.
    async fn next(&mut self, asks: &mut mpsc::Receiver<Ask>) -> Next {
        let nap = self.nap();
        let State::Open(open) = &mut self.state else {
            return asks.recv().await.map_or(Next::End, Next::Ask);
        };
        let takes_news = open.intake.is_free();
        tokio::select! {
            biased;
            ask = asks.recv() => ask.map_or(Next::End, Next::Ask),
            () = tokio::time::sleep(nap) => Next::Time,
            Some(news) = open.news.recv(), if takes_news => Next::News(news),
            change = open.ways.changes(open.keep_at.is_none()) => Next::Changed(change),
        }
    }

    /// How long there is nothing to do but wait.
    fn nap(&self) -> Duration {
        let State::Open(open) = &self.state else { return NAP_MAX };
        let due = [
            open.wake_at,
            open.intake.retry_at().map(Alarm::at),
            open.keep_at,
            open.clean_at,
        ];
        let left = due.into_iter().flatten().map(Alarm::left).min();
        left.map_or(NAP_MAX, |left| left.min(NAP_MAX))
    }

    fn command(&mut self, command: Command) -> Result<Reply, Fault> {
        let State::Open(_) = &self.state else {
            return Err(self.shared.readers.closed_by().unwrap_or(Fault::Locked));
        };
        match self.step(Input::Command(command)) {
            Ok(outputs) => outputs.unwrap_or(Err(Fault::Internal)),
            Err(error) => Err(error.into()),
        }
    }

    fn news(&mut self, first: News) {
        let State::Open(open) = &mut self.state else { return };
        open.intake.take(first, || open.news.try_recv().ok());
        self.take_in();
    }

    fn time(&mut self) {
        let State::Open(open) = &mut self.state else { return };
        if open.intake.is_due(now()) {
            self.take_in();
        }
        let State::Open(open) = &mut self.state else { return };
        if open.keep_at.is_some_and(Alarm::is_due) {
            self.keep_ways();
        }
        let State::Open(open) = &mut self.state else { return };
        if open.wake_at.is_some_and(Alarm::is_due) {
            open.wake_at = None;
            if self.step(Input::Wake).is_err() {
                self.wake_again();
            }
        }
        self.clean();
    }

    /// Keys and texts that were deleted are in no file a second later (STO-6).
    fn clean(&mut self) {
        let State::Open(open) = &mut self.state else { return };
        if open.clean_at.is_some_and(Alarm::is_due) {
            let clean = open.machine.clean();
            open.clean_at = (!clean).then(|| Alarm::after(CLEAN_AFTER_MS));
        }
    }

    /// The courier has learned something: it is kept soon, with what else comes until then.
    fn learned(&mut self) {
        let State::Open(open) = &mut self.state else { return };
        open.keep_at = Some(open.kept_until);
        if open.kept_until.is_due() {
            self.keep_ways();
        }
    }

    fn keep_ways(&mut self) {
        let State::Open(open) = &mut self.state else { return };
        if open.keep_at.take().is_none() {
            return;
        }
        open.kept_until = Alarm::after(KEEP_WAYS_MS);
        let learned = open.ways.learned();
        // What cannot be kept now is learned again.
        let _ = self.step(Input::Ways(learned));
    }

    fn wake_again(&mut self) {
        if let State::Open(open) = &mut self.state {
            open.wake_at = Some(Alarm::after(intake::RETRY_MS));
        }
    }

    /// Gives core what the intake holds until it is empty or must wait.
    fn take_in(&mut self) {
        loop {
            let State::Open(open) = &mut self.state else { return };
            let Some(input) = open.intake.next(now()) else { return };
            let result = self.step(input);
            let State::Open(open) = &mut self.state else { return };
            open.intake.done(match result {
                Ok(_) => Outcome::Taken,
                Err(StepError::Full) => Outcome::NoRoom(now()),
                Err(StepError::Broken | StepError::Internal) => Outcome::Failed(now()),
            });
        }
    }

    /// One step, and what it wants done once it is committed. Out: the answer, where the input was a command.
    fn step(&mut self, input: Input) -> Result<Option<Result<Reply, Fault>>, StepError> {
        let State::Open(open) = &mut self.state else {
            return Err(StepError::Internal);
        };
        if let Input::News(news) = &input {
            open.ways.heard(news);
            open.link.heard(news);
        }
        let kind = kind_of(&input);
        match open.machine.step(now(), &mut self.dice, input) {
            Ok(outputs) => {
                let (errands, events) = (outputs.errands.len(), outputs.events.len());
                tracing::debug!(kind, errands, events, "a step is committed");
                for why in &outputs.refused {
                    tracing::debug!(why, "an envelope is refused");
                }
                Ok(self.release(outputs))
            }
            Err(error) => {
                self.failed(error);
                Err(error)
            }
        }
    }

    fn release(&mut self, outputs: Outputs) -> Option<Result<Reply, Fault>> {
        let State::Open(open) = &mut self.state else {
            return outputs.reply;
        };
        open.wake_at = outputs.wake_at.map(Alarm::at);
        open.clean_at = open.clean_at.or_else(|| Some(Alarm::after(CLEAN_AFTER_MS)));
        for errand in outputs.errands {
            open.link.asked(&errand);
            open.ways.accept(errand);
        }
        self.shared.unconfirmed.send_replace(open.ways.unconfirmed());
        self.publish(outputs.events);
        self.tell_connection();
        outputs.reply
    }

    fn failed(&mut self, error: StepError) {
        tracing::warn!(?error, "a step did not happen");
        match error {
            StepError::Full => self.publish(vec![Event::DiskFull {}]),
            StepError::Broken => self.close(Fault::BrokenDatabase),
            StepError::Internal => {}
        }
    }

    fn publish(&self, events: Vec<Event>) {
        // The connection is told below: core does not see all of it.
        let events = events
            .iter()
            .filter(|event| !matches!(event, Event::ConnectionChanged { .. }));
        self.shared
            .events
            .publish(events.filter_map(|event| serde_json::to_string(event).ok()));
    }

    /// Tells the way to the relays where it changed.
    fn tell_connection(&self) {
        let connection = match &self.state {
            State::Open(open) => open.link.word(),
            State::Closed => Connection::NoRelay,
        };
        let mut live = self.shared.live.lock().unwrap_or_else(PoisonError::into_inner);
        match &self.state {
            State::Open(open) => {
                live.connected = open.link.answering();
                live.through = open.ways.through(live.connected.clone());
                live.ways = open.ways.in_use(&live.connected);
                live.tried = open.ways.tried();
            }
            State::Closed => {
                live.connected.clear();
                live.through.clear();
                live.ways.clear();
                live.tried.clear();
            }
        }
        if live.connection != connection {
            tracing::info!(?connection, "the way to the relays changed");
            live.connection = connection;
            let event = serde_json::to_string(&Event::ConnectionChanged { connection });
            self.shared.events.publish(event);
        }
    }

    fn control(&mut self, control: Control) -> Result<(), Fault> {
        match control {
            Control::PassphraseSet { old, new } => self.set_passphrase(old.as_ref(), new.as_ref()),
            Control::Lock => self.lock(),
            Control::Unlock(passphrase) => self.unlock(&passphrase),
            Control::Wipe => self.wipe(),
            Control::Near(near) => self.near_is(*near),
            Control::Stop => Ok(()),
        }
    }

    fn set_passphrase(&mut self, old: Option<&Secret>, new: Option<&Secret>) -> Result<(), Fault> {
        let State::Open(_) = &self.state else {
            return Err(Fault::Locked);
        };
        machine::set_passphrase(
            self.home.dir(),
            old.map(Secret::expose),
            new.map(Secret::expose),
            &mut self.dice,
        )?;
        self.publish(vec![Event::StatusChanged {}]);
        Ok(())
    }

    fn lock(&mut self) -> Result<(), Fault> {
        let State::Open(_) = &self.state else { return Ok(()) };
        if !machine::has_passphrase(self.home.dir()) {
            return Err(Fault::BadParams);
        }
        self.close(Fault::Locked);
        self.publish(vec![Event::Locked {}]);
        Ok(())
    }

    fn unlock(&mut self, passphrase: &Secret) -> Result<(), Fault> {
        if let State::Open(_) = &self.state {
            return Ok(());
        }
        self.try_open(Some(passphrase))?;
        self.publish(vec![Event::Unlocked {}]);
        Ok(())
    }

    fn near_is(&mut self, near: NearRelay) -> Result<(), Fault> {
        self.near = Some(near);
        self.tell_near()
    }

    fn tell_near(&mut self) -> Result<(), Fault> {
        match (&self.state, self.near.clone()) {
            (State::Open(_), Some(near)) => self.step(Input::Near(near)).map(drop).map_err(Fault::from),
            _closed_or_none => Ok(()),
        }
    }

    /// The key goes first; then everything else in the home; then a fresh profile takes its place.
    fn wipe(&mut self) -> Result<(), Fault> {
        self.close(Fault::Locked);
        // Its files go with the rest, and the next profile gets another one.
        self.near = None;
        self.shared.near.ended(&self.runtime);
        let wiped = crate::wipe(&self.home);
        self.publish(vec![Event::Wiped {}]);
        self.open(None);
        wiped.map_err(|error| {
            tracing::error!(error = %error.kind(), "not everything could be removed");
            Fault::Internal
        })
    }

    fn open(&mut self, passphrase: Option<&Secret>) {
        if let Err(fault) = self.try_open(passphrase) {
            tracing::warn!(?fault, "the profile stays closed");
            self.shared.readers.close(fault);
        }
    }

    fn try_open(&mut self, passphrase: Option<&Secret>) -> Result<(), Fault> {
        let machine = Machine::open(self.home.dir(), passphrase.map(Secret::expose), &mut self.dice)?;
        let readers = (0..READERS).map(|_| machine.reader()).collect::<Result<Vec<_>, _>>()?;
        let learned = readers.first().map_or(Ok(String::new()), Reader::ways);
        let (ways, news) = Ways::start(&self.runtime, &learned.unwrap_or_default(), self.shared.means.anew());
        self.state = State::Open(Box::new(Open {
            machine,
            ways,
            news,
            link: Link::default(),
            intake: Intake::new(Input::Started),
            wake_at: None,
            clean_at: Some(Alarm::at(now())),
            keep_at: None,
            kept_until: Alarm::at(Timestamp(0)),
        }));
        tracing::info!("the profile is open");
        self.shared.readers.open(readers);
        self.take_in();
        if let State::Open(open) = &self.state {
            self.shared
                .near
                .follow(&self.runtime, open.ways.near(), open.ways.reached());
        }
        // Where that fails, core hears of it when it is told the next time.
        let _ = self.tell_near();
        Ok(())
    }

    /// Drops the database, core's memory, keys and the courier.
    fn close(&mut self, fault: Fault) {
        tracing::info!("the profile is closed");
        self.shared.readers.close(fault);
        self.shared.near.close();
        self.state = State::Closed;
        self.tell_connection();
        self.shared.unconfirmed.send_replace(0);
    }
}

/// What a log may say of an input.
fn kind_of(input: &Input) -> &'static str {
    match input {
        Input::Started => "started",
        Input::Command(_) => "command",
        Input::News(News::Arrived(_)) => "arrived",
        Input::News(_) => "news",
        Input::Wake => "wake",
        Input::Ways(_) => "ways",
        Input::Near(_) => "near",
    }
}

/// The device's clock. One that stands before 1970 counts as 1970.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Timestamp(now.saturating_add_signed(crate::lab::clock_offset_ms()))
}
