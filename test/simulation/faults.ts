import type { Fault } from './planting.ts'

/**
 * Faults that a change to the core could make, each with what it does. Every one must be caught in a world of the first
 * thousand seeds. Where the text of a fault is no longer in the core, plant the same fault anew where it now belongs.
 */
export const FAULTS = {
  'the log gives an offset twice': {
    breaks: 'offsets rise by one, in the order of publishing',
    file: 'log.ts',
    edits: [[': { topic, body, contentType, text, offset: ++head, epoch', ': { topic, body, contentType, text, offset: head % 20 === 19 ? head++ : ++head, epoch']],
  },
  'the log does not look at the epoch of a cursor': {
    breaks: 'a resume is exact or a gap',
    file: 'log.ts',
    edits: [['after.epoch !== epoch || ', '']],
  },
  'the log takes a cursor of the future': {
    breaks: 'a resume is exact or a gap',
    file: 'log.ts',
    edits: [[' || after.offset > head', '']],
  },
  'the log reads a part where something is lost': {
    breaks: 'there is no hole',
    file: 'log.ts',
    edits: [["if (ring.floor > after.offset) return undefined", '']],
  },
  'the log is lost where it has everything': {
    breaks: 'there is no gap without need',
    file: 'log.ts',
    edits: [['if (ring.floor > after.offset)', 'if (ring.floor >= after.offset)']],
  },
  'the log trims without raising the floor': {
    breaks: 'there is no hole',
    file: 'log.ts',
    edits: [['ring.floor = message.offset', '']],
  },
  'the log forgets the floor of a topic that was emptied': {
    breaks: 'there is no hole',
    file: 'log.ts',
    edits: [['forgotten.set(ring.keep, Math.max(forgotten.get(ring.keep) ?? 0, ring.floor))', '']],
  },
  'the log starts a topic anew without what went before': {
    breaks: 'there is no hole',
    file: 'log.ts',
    edits: [['ring.floor = forgotten.get(keep) ?? 0', '']],
  },
  'the log does not mark what it does not keep': {
    breaks: 'there is no hole',
    file: 'log.ts',
    edits: [['passed = head', '']],
  },
  'the log keeps beyond the age': {
    breaks: 'nothing is kept longer than the rules say',
    file: 'log.ts',
    edits: [['clock.now() - ring.keep.ms', '-Infinity']],
  },
  'the log reads topic by topic': {
    breaks: 'there is no hole',
    file: 'log.ts',
    edits: [['return found.sort((a, b) => a.offset - b.offset)', 'return found']],
  },
  'the log does not move a topic to the front': {
    breaks: 'there is no hole',
    file: 'log.ts',
    edits: [['toFront(ring)\n', 'if (newest === undefined) toFront(ring)\n']],
  },
  'the log does not keep what was lost': {
    breaks: 'what was lost on the way is told',
    file: 'log.ts',
    edits: [['losses.add(loss)', '']],
  },
  'the log reads losses before everything else': {
    breaks: 'there is no hole',
    file: 'log.ts',
    edits: [['return found.sort((a, b) => a.offset - b.offset)', "return found.sort((a, b) => Number('lost' in b) - Number('lost' in a) || a.offset - b.offset)"]],
  },
  'a loss is told to those that want a lost name alone': {
    breaks: 'what was lost on the way is told',
    file: 'router.ts',
    edits: [['if (interest.patterns.length > 0) addMeeting(interest, found)', '']],
  },
  'a loss is told to everyone': {
    breaks: 'there is no gap without need',
    file: 'router.ts',
    edits: [['if (sought.matches(topic)) for', 'for']],
  },
  'a catch-up does not hold a loss': {
    breaks: 'what was lost on the way is told',
    file: 'catch-up.ts',
    edits: [['if (lost !== undefined) return hold({ ...to, lost }, LOSS_BYTES)', 'if (lost !== undefined) return']],
  },
  'a catch-up keeps a loss to itself': {
    breaks: 'what was lost on the way is told',
    file: 'catch-up.ts',
    edits: [["if ('lost' in entry) late.gap({ epoch: at.epoch, offset: at.offset - 1 }, at, entry.lost)", "if ('lost' in entry) return true"]],
  },
  'a loss passes the messages that wait for their append': {
    breaks: 'there is no hole',
    file: 'hub.ts',
    edits: [['else void queue(lost, announce)', 'else void Promise.resolve(lost).then(announce)']],
  },
  'two globs are apart where neither begins nor ends like the other': {
    breaks: 'what was lost on the way is told',
    file: 'pattern.ts',
    edits: [['|| (!a.suffix.endsWith(b.suffix)', '|| (a.suffix !== b.suffix || !a.suffix.endsWith(b.suffix)']],
  },
  'a catch-up reads first and joins later': {
    breaks: 'there is no hole',
    file: 'catch-up.ts',
    edits: [
      ['const leave = router.join(interest, holding)', 'let leave = (): void => {}'],
      ['if (!(await replay())) return\n', 'if (!(await replay())) return\n      leave()\n      leave = router.join(interest, holding)\n'],
    ],
  },
  'a catch-up gives again what it has replayed': {
    breaks: 'nothing comes twice',
    file: 'catch-up.ts',
    edits: [['if (entry.epoch !== at.epoch || entry.offset > at.offset) {', '{']],
  },
  'a catch-up lets go silently of what it cannot hold': {
    breaks: 'there is no hole',
    file: 'catch-up.ts',
    edits: [['if (overflowed || unreadable) continue', '']],
  },
  'a catch-up keeps a gap to itself': {
    breaks: 'there is no hole',
    file: 'catch-up.ts',
    edits: [['late.gap(at, to)', '']],
  },
  'a catch-up says that a gap ends later than it does': {
    breaks: 'a gap is where it says',
    file: 'catch-up.ts',
    edits: [['first === undefined ? routed() : first.offset - 1', 'log.head']],
  },
  'a catch-up says that a gap ends earlier than it does': {
    breaks: 'there is no hole',
    file: 'catch-up.ts',
    edits: [['first === undefined ? routed() : first.offset - 1', 'Math.max(0, routed() - 3)']],
  },
  'a catch-up does not wait for the router': {
    breaks: 'nothing comes twice',
    file: 'catch-up.ts',
    edits: [['if (at.epoch === log.epoch && at.offset > routed()) {', 'if (at.offset < 0) {']],
  },
  'a catch-up takes back what the log has shown': {
    breaks: 'nothing comes twice',
    file: 'catch-up.ts',
    edits: [['if (at.epoch === to.epoch && at.offset >= to.offset && at.offset <= log.head) return true', '']],
  },
  'a catch-up stays joined when it is done': {
    breaks: 'when everyone has left, nothing is held',
    file: 'catch-up.ts',
    edits: [['    leave()\n', '']],
  },
  'a replay writes a batch twice': {
    breaks: 'nothing comes twice',
    file: 'replay.ts',
    edits: [['    batch = []\n', '']],
  },
  'a replay does not wait for room': {
    breaks: 'waiting bytes are bounded',
    file: 'replay.ts',
    edits: [['Promise.all([turn, member.room()])', 'Promise.all([turn])']],
  },
  'a fan-out drops the last message of a large turn': {
    breaks: 'there is no hole',
    file: 'fan-out.ts',
    edits: [['writeToAll(joined(encoder, messages), ', 'writeToAll(joined(encoder, messages.length > 4 ? messages.slice(0, -1) : messages), ']],
  },
  'a fan-out turns a turn round': {
    breaks: 'there is one order',
    file: 'fan-out.ts',
    edits: [['writeToAll(joined(encoder, messages), ', 'writeToAll(joined(encoder, messages.toReversed()), ']],
  },
  'a fan-out lets one in without writing what is pending': {
    breaks: 'nobody gets what was published before it joined',
    file: 'fan-out.ts',
    edits: [['    this.#joining = true\n    this.flush()\n', '']],
  },
  'a fan-out is taken down while somebody joins it': {
    breaks: 'whoever stays gets everything',
    file: 'fan-out.ts',
    edits: [[' && !this.#joining', '']],
  },
  'a fan-out lets go without a word': {
    breaks: 'whoever stays gets everything',
    file: 'fan-out.ts',
    edits: [['    member.evict()\n', '']],
  },
  'a fan-out never lets go': {
    breaks: 'waiting bytes are bounded',
    file: 'fan-out.ts',
    edits: [['if (member.pendingBytes > this.#parts.maxPendingBytes) {', 'if (member.pendingBytes < 0) {']],
  },
  'a fan-out lets go too early': {
    breaks: 'only slow ones are let go',
    file: 'fan-out.ts',
    edits: [['if (member.pendingBytes > this.#parts.maxPendingBytes) {', 'if (member.pendingBytes > this.#parts.maxPendingBytes / 2) {']],
  },
  'a fan-out never lets go of one that is behind': {
    breaks: 'waiting bytes are bounded',
    file: 'arrears.ts',
    edits: [['if (pending > maxPendingBytes) found.push(debtor)', 'if (pending < 0) found.push(debtor)']],
  },
  'a fan-out looks only once at those who are behind': {
    breaks: 'waiting bytes are bounded',
    file: 'arrears.ts',
    edits: [['this.#look = Math.min(this.#look, this.#tail.end - pending)', 'continue']],
  },
  'a fan-out does not see that one who falls behind has more waiting than the others': {
    breaks: 'waiting bytes are bounded',
    file: 'arrears.ts',
    edits: [['if (this.#behind.size === 0 || origin < this.#look) this.#look = origin', 'this.#look = this.#tail.end']],
  },
  'a fan-out lets go too early of one that is behind': {
    breaks: 'only slow ones are let go',
    file: 'arrears.ts',
    edits: [['if (pending > maxPendingBytes) found.push(debtor)', 'if (pending > maxPendingBytes / 2) found.push(debtor)']],
  },
  'a fan-out keeps whom it lets go': {
    breaks: 'a receipt counts the receivers',
    file: 'fan-out.ts',
    edits: [['    this.remove(member)\n    this.#parts.events.slow', '    this.#parts.events.slow']],
  },
  'a ledger keeps whoever leaves': {
    breaks: 'when everyone has left, nothing is held',
    file: 'arrears.ts',
    edits: [['if (!this.#behind.delete(debtor)) return false', 'if (!this.#behind.has(debtor)) return false']],
  },
  'one that is behind is owed nothing of a turn': {
    breaks: 'there is no hole',
    file: 'fan-out.ts',
    edits: [['    this.#owe(buffer, messages)\n', '    this.#owe(buffer.subarray(0, 0), messages)\n']],
  },
  'one that is behind is not told of a gap': {
    breaks: 'what was lost on the way is told',
    file: 'fan-out.ts',
    edits: [['this.#owe(form, 0)\n', '']],
  },
  'a ledger takes no gap': {
    breaks: 'what was lost on the way is told',
    file: 'arrears.ts',
    edits: [['if (this.#behind.size === 0) return\n', 'if (this.#behind.size === 0 || messages === 0) return\n']],
  },
  'a write is left out for one that is behind': {
    breaks: 'there is no hole',
    file: 'arrears.ts',
    edits: [['into.push(at.buffer)', 'if (into.length < 2 || at.buffer.length % 2 === 0) into.push(at.buffer)']],
  },
  'one that is behind gets the last write twice': {
    breaks: 'nothing comes twice',
    file: 'arrears.ts',
    edits: [['      at = next\n', '      if (next.next !== undefined || into.length > 1) at = next\n']],
  },
  'one that is behind begins with what it has had': {
    breaks: 'nothing comes twice',
    file: 'fan-out.ts',
    edits: [
      ['    this.#owe(buffer, messages)\n    const members', '    const members'],
      ['if (this.#write(members[i] as Member, buffer)) written++\n', 'if (this.#write(members[i] as Member, buffer)) written++\n    this.#owe(buffer, messages)\n'],
    ],
  },
  'one that is behind is never level again': {
    breaks: 'nothing goes on for ever',
    file: 'arrears.ts',
    edits: [["if (now === 'level' && this.remove(debtor))", "if (messages < 0 && now === 'level' && this.remove(debtor))"]],
  },
  'one that is behind is level before it has got everything': {
    breaks: 'there is no hole',
    file: 'arrears.ts',
    edits: [
      ["this.#ledger.paid(this.#debtor, messages, takes ? 'level' : 'behind')", "this.#ledger.paid(this.#debtor, messages, 'level')"],
      ['(into.length === 0 || next.end <= end)', 'into.length === 0'],
    ],
  },
  'one that is level again is forgotten': {
    breaks: 'whoever stays gets everything',
    file: 'arrears.ts',
    edits: [['this.#creditor.level(debtor)', 'return']],
  },
  'one that has enough is written to all the same, and late as well': {
    breaks: 'nothing comes twice',
    file: 'fan-out.ts',
    edits: [['&& this.#leave(member)) this.#fallBehind(member)', '&& member.arrears === undefined) this.#fallBehind(member)']],
  },
  'a fan-out loses track of a member that moved': {
    breaks: 'when everyone has left, nothing is held',
    file: 'fan-out.ts',
    edits: [['last.slot = member.slot', '']],
  },
  'a fan-out is kept when its last member has left': {
    breaks: 'whoever stays gets everything',
    file: 'fan-outs.ts',
    edits: [['      forget(place)\n', '']],
  },
  'a fan-out stays joined when its last member has left': {
    breaks: 'when everyone has left, nothing is held',
    file: 'fan-outs.ts',
    edits: [['      leave?.()\n', '']],
  },
  'the router gives twice where a name and a glob match': {
    breaks: 'nothing comes twice',
    file: 'router.ts',
    edits: [['return all === undefined ? byName : [...all]', 'return all === undefined ? byName : [...byName, ...all]']],
  },
  'the router does not take a second one for a topic': {
    breaks: 'there is no hole',
    file: 'router.ts',
    edits: [['addTo(group.members, subscriber)', 'if (group.members.size !== 1) addTo(group.members, subscriber)']],
  },
  'the router leaves a pattern behind': {
    breaks: 'when everyone has left, nothing is held',
    file: 'router.ts',
    edits: [['    entries.delete(pattern.source)\n', '']],
  },
  'the hub routes appends as they settle, out of lane': {
    breaks: 'there is one order',
    file: 'hub.ts',
    edits: [['if (lane === undefined && !(appended instanceof Promise))', 'if (!(appended instanceof Promise))']],
  },
  'the hub does not wait for what is before it in the lane': {
    breaks: 'there is one order',
    file: 'hub.ts',
    edits: [['await before\n', '']],
  },
  'the hub says that it is further than it is': {
    breaks: 'a new stream begins where the hub is',
    file: 'hub.ts',
    edits: [['get cursor() { return { epoch: log.epoch, offset: routed } }', 'get cursor() { return { epoch: log.epoch, offset: log.head + 1 } }']],
  },
  'the hub counts fan-outs and not who stands behind them': {
    breaks: 'a receipt counts the receivers',
    file: 'hub.ts',
    edits: [['subscribers += subscriber.count', 'subscribers++']],
  },
  'the hub hands on what it refuses': {
    breaks: 'what was refused goes to nobody',
    file: 'hub.ts',
    edits: [["throw new WaystationError('forbidden'", "throw route(log.append(draft) as Message), new WaystationError('forbidden'"]],
  },
  'the hub tells the publisher of another place': {
    breaks: 'a message has one place',
    file: 'hub.ts',
    edits: [['return { message, subscribers }', 'return { message: { ...message, offset: message.offset + 1 }, subscribers }']],
  },
  'the hub lets everyone read': {
    breaks: 'nobody gets what a rule forbids',
    file: 'hub.ts',
    edits: [['maySubscribe: rules.maySubscribe', 'maySubscribe: () => true']],
  },
  'the router gives a glob all that begins like it': {
    breaks: 'nobody gets what it did not want',
    file: 'router.ts',
    edits: [['if (!entry.pattern.matches(topic)) return', '']],
  },
  'an envelope cuts blanks off': {
    breaks: 'what arrives is what was sent',
    file: 'envelope.ts',
    edits: [["message.body.toString('utf8')", "message.body.toString('utf8').trimEnd()"]],
  },
  'a turn asks for the next one for ever': {
    breaks: 'nothing goes on for ever',
    file: 'turn.ts',
    edits: [['const now = waiting\n', 'const now = waiting\n    clock.endOfTurn(flush)\n']],
  },
  'a fan-out writes a byte too many': {
    breaks: 'nothing throws',
    file: 'fan-out.ts',
    edits: [['Buffer.allocUnsafe(size)', 'Buffer.alloc(size + 1)']],
  },
  'a replay leaves a rejection alone': {
    breaks: 'no rejection is left alone',
    file: 'replay.ts',
    edits: [['return Promise.all([turn, member.room()]).then(() => {})', 'const room = member.room()\n      return turn.then(() => room)']],
  },
  'the hub takes what a rule forbids': {
    breaks: 'a rule says who may publish',
    file: 'hub.ts',
    edits: [["if (!rules.may('publish', draft.topic, by))", "if (draft.body.length < 0)"]],
  },
} as const satisfies Record<string, Fault>

export type FaultName = keyof typeof FAULTS

export function isFault(name: string): name is FaultName {
  return Object.hasOwn(FAULTS, name)
}
