def sub(path, pairs):
    s=open(path).read()
    for a,b in pairs:
        assert s.count(a)>=1,(path,a)
        s=s.replace(a,b,1)
    open(path,'w').write(s)
import shutil
R='./'
shutil.copy('./notice.rs',R+'crates/command/src/notice.rs')
shutil.copy('./keyspace_events.rs',R+'crates/settings/src/keyspace_events.rs')
sub(R+'crates/command/src/lib.rs',[("mod next;\n","mod next;\nmod notice;\n"),("pub use lookup::lookup;\n","pub use lookup::lookup;\npub use notice::{Before, Event, EventClass};\n")])
sub(R+'crates/keyspace/src/effects.rs',[
("    /// The effects, in the order in which they happened.\n    pub fn iter(&self) -> impl Iterator<Item = Effect<'_>> {\n        let mut rest = &self.bytes[..];","    /// The effects, in the order in which they happened.\n    pub fn iter(&self) -> impl Iterator<Item = Effect<'_>> {\n        self.since(0)\n    }\n\n    /// Those from the byte on at which one begins.\n    pub fn since(&self, mark: usize) -> impl Iterator<Item = Effect<'_>> {\n        let mut rest = self.bytes.get(mark..).unwrap_or_default();"),
])
S=R+'crates/settings/src/'
sub(S+'lib.rs',[("mod kind;\n","mod keyspace_events;\nmod kind;\n"),("pub use kind::","pub use keyspace_events::KeyspaceEvents;\npub use kind::")])
sub(S+'kind.rs',[
("use crate::output_limit::OutputLimits;","use crate::keyspace_events::KeyspaceEvents;\nuse crate::output_limit::OutputLimits;"),
("    /// [`OutputLimits`].\n    OutputLimits,","    /// [`OutputLimits`].\n    OutputLimits,\n    /// [`KeyspaceEvents`].\n    KeyspaceEvents,"),
("            Kind::Text(Form::Hosts) if","""            Kind::Text(Form::KeyspaceEvents) => match KeyspaceEvents::parse(text) {
                Some(events) => Ok(Value::Text(events.to_string())),
                None => Err(Why::Unfit("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")),
            },
            Kind::Text(Form::Hosts) if"""),
("            Kind::Text(Form::OutputLimits) => \"LIMITS\",","            Kind::Text(Form::OutputLimits) => \"LIMITS\",\n            Kind::Text(Form::KeyspaceEvents) => \"LETTERS\","),
("                | Form::OutputLimits\n","                | Form::OutputLimits\n                | Form::KeyspaceEvents\n"),
])
s=open(S+'node.rs').read()
s=s.replace("    ClientOutputBufferLimit,\n","    ClientOutputBufferLimit,\n    NotifyKeyspaceEvents,\n",1)
a=s.index("    Setting {\n        key: Key::Node(NodeKey::Timeout),")
s=s[:a]+'''    Setting {
        key: Key::Node(NodeKey::NotifyKeyspaceEvents),
        name: "notify-keyspace-events",
        kind: Kind::Text(Form::KeyspaceEvents),
        default: "",
        change: Change::Running,
        redis: None,
        doc: "What clients are told of what happens to keys, by Redis' letters, as `KEA`; empty is nothing",
        more: "From 0.2.0 on: an older release does not start with it. `K` and `E` say to which channels \\
               (`__keyspace@0__:KEY`, `__keyevent@0__:EVENT`), the others of what: `g` any key, `$` strings, `l` lists, `s` sets, \\
               `h` hashes, `z` sorted sets, `t` streams, `x` expired, `e` evicted, `A` all of these; `n` new keys, `m` keys \\
               that were not found. A node tells of its own keys alone, as their primary, and to its own clients: so \\
               set it on every node, and listen at every primary.",
    },
'''+s[a:]
open(S+'node.rs','w').write(s)
N=R+'crates/node/src/'
sub(N+'config.rs',[
("    pub client_output_buffer_limit: OutputLimits,\n","    pub client_output_buffer_limit: OutputLimits,\n    pub notify_keyspace_events: KeyspaceEvents,\n"),
("            timeout: number(&node(NodeKey::Timeout)),\n","            notify_keyspace_events: KeyspaceEvents::parse(&node(NodeKey::NotifyKeyspaceEvents).to_string())\n                .expect(\"a value of the table is one\"),\n            timeout: number(&node(NodeKey::Timeout)),\n"),
("            NodeKey::ClientOutputBufferLimit => Value::Text(self.client_output_buffer_limit.to_string()),\n","            NodeKey::ClientOutputBufferLimit => Value::Text(self.client_output_buffer_limit.to_string()),\n            NodeKey::NotifyKeyspaceEvents => Value::Text(self.notify_keyspace_events.to_string()),\n"),
("ClusterKey, Key, NodeKey,","ClusterKey, Key, KeyspaceEvents, NodeKey,"),
])
sub(N+'data/plane.rs',[
("    /// Scratch: the effects","    /// Is anybody to be told what happens to keys? On the path of every command.\n    pub notifies: bool,\n    /// Scratch: the effects"),
("            requirepass: config.requirepass.clone(),\n","            requirepass: config.requirepass.clone(),\n            notifies: config.notify_keyspace_events.is_on(),\n"),
("        self.requirepass.clone_from(&config.requirepass);\n","        self.requirepass.clone_from(&config.requirepass);\n        self.notifies = config.notify_keyspace_events.is_on();\n"),
])
s=open(N+'data/plane.rs').read()
# config moved into struct literal before: reorder
open(N+'data/plane.rs','w').write(s)
sub(N+'data/dispatch.rs',[
("""    let Lookups { hits, misses } =
        execute(spec, args, &mut plane.keyspace, &context, out, &mut plane.effects);
""","""    // Of what a replica reads nobody is told: it changes nothing.
    let before = (plane.notifies && plane.primary().is_some())
        .then(|| Before::look(spec, args, &plane.keyspace, &plane.effects, context.now_ms));
    let Lookups { hits, misses } =
        execute(spec, args, &mut plane.keyspace, &context, out, &mut plane.effects);
    if let Some(before) = before {
        let events = before.tell(&plane.keyspace, &plane.effects);
        plane.notify(&events);
    }
"""),
("use ironcache_command::{Context,","use ironcache_command::{Before, Context,"),
])
sub(N+'data/pubsub.rs',[
("    fn tell_listeners(","""    /// What became of keys, to whoever listens here: as in Redis, it goes to no other node.
    pub(super) fn notify(&mut self, events: &[Event]) {
        let wanted = self.config.notify_keyspace_events;
        for Event { class, name, key } in events {
            if !wanted.has(class.letter()) {
                continue;
            }
            if wanted.has(b'K') {
                let channel = [b"__keyspace@0__:", &key[..]].concat();
                self.tell_listeners(Audience::Cluster, &channel, name.as_bytes());
            }
            if wanted.has(b'E') {
                let channel = [b"__keyevent@0__:", name.as_bytes()].concat();
                self.tell_listeners(Audience::Cluster, &channel, key);
            }
        }
    }

    fn tell_listeners("""),
("use ironcache_session::Audience;\n","use ironcache_command::Event;\nuse ironcache_session::Audience;\n"),
])
sub(N+'data/clockwork.rs',[
("        plane.effects.append(&effect);\n        plane.commit(scope);\n","        plane.effects.append(&effect);\n        plane.commit(scope);\n        if let (true, Some(key)) = (plane.notifies, effect.key()) {\n            plane.notify(&[Event { class: EventClass::Expired, name: \"expired\", key: key.to_vec() }]);\n        }\n"),
("use ironcache_keyspace::{Effects, progress};","use ironcache_command::{Event, EventClass};\nuse ironcache_keyspace::{Effects, progress};"),
])
import os
shutil.copy('./notices_7_0_15.txt',R+'crates/command/tests/commands/notices_7_0_15.txt')
shutil.copy('./notices.rs',R+'crates/command/tests/commands/notices.rs')
sub(R+'crates/command/tests/commands/main.rs',[("mod lookups;\n","mod lookups;\n")])
s=open(R+'crates/command/tests/commands/main.rs').read()
s=s.replace('mod transcripts;','mod notices;\nmod transcripts;',1)
open(R+'crates/command/tests/commands/main.rs','w').write(s)
sub(R+'CHANGELOG.md',[("- `client-output-buffer-limit` has a class","- Keyspace notifications: `notify-keyspace-events` with Redis' letters, by each primary of its own keys and to its own clients.\n- `client-output-buffer-limit` has a class")])
s=open(R+'docs/redis-differences.md').read().rstrip('\n')
s+='''
| keyspace notifications of a replica | of what it executes of its primary's stream | none: a replica is told results, not commands; listen at the primary | an effect does not say which command it came of |
| `notify-keyspace-events` with `A` and `n`, read back | without the `n` | with it | it is a mistake |
| events of deprecated or internal kinds (`d`, modules) | accepted | accepted, and there are none | there are no modules |
'''
open(R+'docs/redis-differences.md','w').write(s)
