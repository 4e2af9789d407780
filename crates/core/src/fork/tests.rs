use super::*;

fn account(n: u8) -> AccountId {
    AccountId::from_bytes([n; 32])
}

fn epoch(n: u8) -> EpochId {
    EpochId::from_bytes([n; 16])
}

/// A tree over accounts 1 to `accounts`, whose root is epoch 0.
struct Sketch {
    nodes: Vec<Node>,
    votes: Votes,
}

impl Sketch {
    fn of(accounts: u8) -> Self {
        let root = Node {
            epoch: epoch(0),
            members: (1..=accounts).map(account).collect(),
            commit: None,
        };
        Self {
            nodes: vec![root],
            votes: Votes::default(),
        }
    }

    /// A commit that makes epoch `child`; its hash is its number.
    fn commit(mut self, parent: u8, child: u8, author: u8, class: Class, rank: u32, unseats: &[u8]) -> Self {
        self.nodes.push(Node {
            epoch: epoch(child),
            members: self.nodes[0].members.clone(),
            commit: Some(Commit {
                parent: epoch(parent),
                author: account(author),
                class,
                rank,
                hash: [child; 32],
                unseats: unseats.iter().map(|n| (account(*n), None)).collect(),
                leaf: [author; 8],
                ousts: vec![],
            }),
        });
        self
    }

    /// Whom the last commit unseats keeps a seat.
    fn put_down_to(mut self, role: Role) -> Self {
        let last = self.nodes.last_mut().and_then(|node| node.commit.as_mut()).unwrap();
        last.unseats.values_mut().for_each(|has| *has = Some(role));
        self
    }

    /// The last commit is by this leaf of its author, and takes out these.
    fn by_leaf(mut self, leaf: u8, ousts: &[u8]) -> Self {
        let last = self.nodes.last_mut().and_then(|node| node.commit.as_mut()).unwrap();
        last.leaf = [leaf; 8];
        last.ousts = ousts.iter().map(|leaf| [*leaf; 8]).collect();
        self
    }

    fn renewal(self, parent: u8, child: u8, author: u8) -> Self {
        self.commit(parent, child, author, Class::Renewal, 0, &[])
    }

    fn wrote(mut self, author: u8, at: u8) -> Self {
        self.votes.wrote.insert((account(author), epoch(at)));
        self.votes.newest.insert(account(author), epoch(at));
        self
    }

    fn head(&self) -> EpochId {
        head(&self.nodes, &self.votes, epoch(0))
    }

    fn without(&self, clauses: Clauses) -> EpochId {
        head_by(&self.nodes, &self.votes, epoch(0), clauses)
    }
}

#[test]
fn the_head_does_not_depend_on_the_order_of_arrival_fork_1() {
    let sketch = Sketch::of(4)
        .renewal(0, 1, 1)
        .renewal(0, 2, 2)
        .commit(1, 3, 2, Class::Admin, 1, &[])
        .commit(1, 4, 3, Class::Unseats, 1, &[4])
        .renewal(4, 5, 1)
        .wrote(1, 5)
        .wrote(2, 3);
    let mut nodes = sketch.nodes.clone();
    for turn in 0..nodes.len() {
        nodes.rotate_left(turn);
        assert_eq!(head(&nodes, &sketch.votes, epoch(0)), sketch.head());
    }
    assert_eq!(sketch.head(), epoch(5));
    assert_eq!(Sketch::of(2).head(), epoch(0));
}

#[test]
fn a_removed_admin_does_not_come_back_by_a_commit_beside_the_removal_fork_2() {
    // 1 removes 2, while 2 removes 3, under a lower hash and with a branch of its own.
    let sketch = Sketch::of(3)
        .commit(0, 9, 1, Class::Unseats, 0, &[2])
        .commit(0, 1, 2, Class::Unseats, 1, &[3])
        .renewal(1, 2, 3);
    assert_eq!(sketch.head(), epoch(9));
    let weaker = Clauses {
        void: false,
        ..Clauses::ALL
    };
    // Class and authority alone hold it here too; a removal made later, further down, they do not.
    assert_eq!(sketch.without(weaker), epoch(9));
    let late = Sketch::of(3)
        .renewal(0, 9, 3)
        .commit(9, 8, 1, Class::Unseats, 0, &[2])
        .commit(0, 1, 2, Class::Admin, 1, &[]);
    assert_eq!(late.head(), epoch(8));
    assert_eq!(late.without(weaker), epoch(1));
}

#[test]
fn of_two_who_remove_each_other_the_higher_stays_and_a_void_commit_unseats_nobody_fork_2() {
    let sketch = Sketch::of(4)
        .commit(0, 2, 1, Class::Unseats, 0, &[2])
        .commit(0, 1, 2, Class::Unseats, 1, &[3])
        .commit(0, 3, 3, Class::Unseats, 2, &[4]);
    assert_eq!(sketch.head(), epoch(2));
    // What the one who comes back made before the removal descends from nothing void: it stays.
    let before = Sketch::of(3)
        .renewal(0, 1, 2)
        .commit(1, 2, 1, Class::Unseats, 0, &[2])
        .renewal(2, 3, 2);
    assert_eq!(before.head(), epoch(3));
}

/// 1's removal of 2 lies beside 0 -> 3; there 3 removes 2 as well, and takes it back.
#[test]
fn who_was_unseated_on_its_own_branch_too_and_is_back_commits_nothing_void_fork_2() {
    let removed = |again: &[u8]| {
        Sketch::of(4)
            .commit(0, 9, 1, Class::Unseats, 0, &[2])
            .renewal(0, 3, 4)
            .commit(3, 4, 3, Class::Unseats, 1, again)
            .commit(4, 5, 3, Class::Admin, 1, &[])
            .renewal(5, 6, 2)
            .wrote(1, 6)
            .wrote(3, 6)
            .wrote(4, 6)
    };
    assert_eq!(removed(&[2]).head(), epoch(6));
    assert_eq!(removed(&[4]).head(), epoch(5), "of anybody else");
    // Whom the one removes and the other only puts down has not lost as much.
    let put_down = |beside: Option<Role>, here: Role| {
        let mut sketch = Sketch::of(4).commit(0, 9, 1, Class::Unseats, 0, &[2]);
        if let Some(role) = beside {
            sketch = sketch.put_down_to(role);
        }
        sketch
            .renewal(0, 3, 4)
            .commit(3, 4, 3, Class::Unseats, 1, &[2])
            .put_down_to(here)
            .renewal(4, 6, 2)
            .wrote(1, 6)
            .wrote(3, 6)
            .wrote(4, 6)
    };
    assert_eq!(put_down(None, Role::Reader).head(), epoch(4));
    assert_eq!(put_down(Some(Role::Reader), Role::Member).head(), epoch(4));
    assert_eq!(put_down(Some(Role::Member), Role::Member).head(), epoch(6));
    // On a branch that lost, an old copy of it is not spared by an old removal there.
    let copy = Sketch::of(4)
        .renewal(0, 3, 4)
        .commit(3, 4, 3, Class::Unseats, 1, &[2])
        .commit(4, 5, 3, Class::Admin, 1, &[])
        .commit(5, 6, 2, Class::Unseats, 1, &[4])
        .commit(0, 8, 1, Class::Admin, 0, &[])
        .commit(8, 9, 1, Class::Unseats, 0, &[2]);
    assert_eq!(copy.head(), epoch(9));
    assert!(void_by_author(&copy.nodes, epoch(0), epoch(9)).contains(&epoch(6)));
    // What was done before the two parted says nothing.
    let before = Sketch::of(4)
        .commit(0, 3, 3, Class::Unseats, 1, &[2])
        .commit(3, 9, 1, Class::Unseats, 0, &[2])
        .renewal(3, 6, 2);
    assert_eq!(before.head(), epoch(9));
    // Nor does what it does itself.
    let own = Sketch::of(4)
        .commit(0, 9, 1, Class::Unseats, 0, &[2])
        .commit(0, 3, 2, Class::Unseats, 1, &[2])
        .renewal(3, 6, 2);
    assert_eq!(own.head(), epoch(9));
}

#[test]
fn a_branch_that_more_than_two_thirds_write_on_is_not_left_fork_3() {
    let fork = || Sketch::of(4).renewal(0, 2, 1).renewal(0, 1, 4);
    assert_eq!(fork().head(), epoch(1));
    let two = fork().wrote(1, 2).wrote(2, 2);
    assert_eq!(two.head(), epoch(1));
    assert_eq!(two.wrote(3, 2).head(), epoch(2));
    // One vote each: who moved to the other branch holds this one no more.
    let left = fork().wrote(1, 2).wrote(2, 2).wrote(3, 2).wrote(3, 1);
    assert_eq!(left.head(), epoch(1));
}

#[test]
fn class_then_authority_then_hash_fork_4() {
    let by_class = Sketch::of(9)
        .renewal(0, 1, 1)
        .commit(0, 2, 2, Class::Admin, 0, &[])
        .commit(0, 3, 3, Class::Unseats, 5, &[9]);
    assert_eq!(by_class.head(), epoch(3));
    let by_rank = Sketch::of(9)
        .commit(0, 1, 1, Class::Admin, 4, &[])
        .commit(0, 2, 2, Class::Admin, 3, &[]);
    assert_eq!(by_rank.head(), epoch(2));
    assert_eq!(Sketch::of(9).renewal(0, 2, 1).renewal(0, 1, 2).head(), epoch(1));
}

#[test]
fn who_has_moved_on_brings_no_late_rival_fork_5() {
    let late = Sketch::of(4).renewal(0, 2, 1).renewal(0, 1, 4).wrote(4, 2);
    assert_eq!(late.head(), epoch(2));
    let weaker = Clauses {
        moved_on: false,
        ..Clauses::ALL
    };
    assert_eq!(late.without(weaker), epoch(1));
    let committed = Sketch::of(4).renewal(0, 2, 1).renewal(0, 1, 4).renewal(2, 3, 4);
    assert_eq!(committed.head(), epoch(3));
    // Where both have moved on to each other's, the order decides.
    let crossed = Sketch::of(4).renewal(0, 2, 1).renewal(0, 1, 4).wrote(4, 2).wrote(1, 1);
    assert_eq!(crossed.head(), epoch(1));
}

#[test]
fn of_two_commits_by_one_author_the_lower_counts_fork_6() {
    // The higher one has more votes; were it eligible, they would hold it.
    let sketch = Sketch::of(3)
        .renewal(0, 2, 1)
        .renewal(0, 1, 1)
        .wrote(2, 2)
        .wrote(3, 2)
        .wrote(1, 2);
    let honest = Clauses {
        moved_on: false,
        ..Clauses::ALL
    };
    assert_eq!(sketch.without(honest), epoch(1));
    let weaker = Clauses {
        one_each: false,
        ..honest
    };
    assert_eq!(sketch.without(weaker), epoch(2));
}

#[test]
fn a_node_that_is_its_own_ancestor_does_not_hang_the_walk() {
    let circle = Sketch::of(2).renewal(2, 1, 1).renewal(1, 2, 2).renewal(0, 1, 1);
    let _ends = circle.head();
}

#[test]
fn the_removal_of_one_who_was_added_again_does_not_void_what_it_does_since_fork_1() {
    let sketch = Sketch::of(3)
        .commit(0, 1, 1, Class::Unseats, 0, &[3])
        .renewal(20, 21, 3)
        .renewal(21, 22, 2);
    assert_eq!(head(&sketch.nodes, &sketch.votes, epoch(20)), epoch(22));
}

#[test]
fn what_a_removed_device_commits_beside_its_removal_is_void_dev_6() {
    // Leaf 71 of account 1 takes out leaf 72, further down; that one commits at once on the parent it still has.
    let sketch = Sketch::of(2)
        .renewal(0, 9, 2)
        .commit(9, 8, 1, Class::Unseats, 0, &[])
        .by_leaf(71, &[72])
        .commit(0, 1, 1, Class::Admin, 0, &[])
        .by_leaf(72, &[])
        .renewal(1, 2, 1)
        .by_leaf(72, &[]);
    assert_eq!(sketch.head(), epoch(8));
    // Its account has moved on as well (FORK-5); that alone would not hold where it had not.
    let weaker = Clauses {
        void: false,
        moved_on: false,
        ..Clauses::ALL
    };
    assert_ne!(sketch.without(weaker), epoch(8));
    let only_void = Clauses {
        moved_on: false,
        ..Clauses::ALL
    };
    assert_eq!(sketch.without(only_void), epoch(8));
    // Commits of the account's other leaves stay what they are.
    let beside = Sketch::of(2)
        .commit(0, 8, 1, Class::Renewal, 0, &[])
        .by_leaf(71, &[72])
        .renewal(0, 1, 2)
        .by_leaf(80, &[]);
    assert!([epoch(1), epoch(8)].contains(&beside.head()));
    assert_ne!(beside.head(), epoch(0));
}

#[test]
fn a_removed_device_does_not_stop_its_removal_by_writing_on_a_rival_dev_6() {
    // Account 2 renews beside the removal; the removed leaf of account 1 writes there.
    let sketch = Sketch::of(2)
        .commit(0, 8, 1, Class::Unseats, 0, &[])
        .by_leaf(71, &[72])
        .renewal(0, 1, 2)
        .wrote(1, 1);
    assert_eq!(sketch.head(), epoch(8));
    // Anybody else's removal would be held back by it (FORK-5).
    let other = Sketch::of(2)
        .commit(0, 8, 1, Class::Unseats, 0, &[])
        .renewal(0, 1, 2)
        .wrote(1, 1);
    assert_eq!(other.head(), epoch(1));
}
