import type { DatabaseSync } from 'node:sqlite'
import { setImmediate as later } from 'node:timers'
import { parentPort, receiveMessageOnPort, workerData, type MessagePort } from 'node:worker_threads'
import type { Answer, Call, Listened, Outcome, Report, Request, SignatureCall, WorkerOptions } from './calls.ts'
import { changeFeeds } from './change-feed.ts'
import type { ChangeLog } from './change-log.ts'
import { databaseFile } from './file.ts'
import { createListening } from './listening.ts'
import { answerOfNothing, needsDatabase, operations, type Operation, type Operations } from './operations.ts'
import type { Next } from './set-in-pieces.ts'
import { isFull, isLocked, reasonOf } from './reasons.ts'
import { MIGRATIONS } from './schema.ts'
import { signaturesOf } from './signatures-file.ts'
import { kindOf, signatureMemory, type Signatures, type Verdict } from './signatures.ts'
import { openSnapshot, type Snapshot } from './snapshot.ts'

interface Connection extends Operations {
  readonly database: DatabaseSync
  readonly feeds: Readonly<Record<Listened, ChangeLog>>
  readonly signatures: Signatures
}

/** Of a signature, or of anything else: they never share a transaction. */
type Signed = Request & { readonly call: SignatureCall }
type Plain = Request & { readonly call: Operation }

/** A call that is done piece by piece, between others. */
interface Long {
  readonly id: number
  readonly steps: Generator<Next, Answer>
  next: Next
}

/** Calls that share one transaction, and so one write to the disk. */
const MOST_TOGETHER = 1_000

const port = parentPort as MessagePort
const { file, busyTimeout, pollInterval, listening, bootTime } = workerData as WorkerOptions
const source = databaseFile(file, busyTimeout, MIGRATIONS)
const snapshots = new Map<number, Snapshot>()
let long: Long[] = []
let scheduled = false
let connection: Connection | undefined
const listeners = createListening({ feeds: () => connect('if there')?.feeds, report, pollInterval, from: listening })

port.on('message', (first: Request) => handle([first, ...waiting(MOST_TOGETHER - 1)]))

/** What has come in meanwhile. */
function waiting(most: number): Request[] {
  const requests: Request[] = []
  while (requests.length < most) {
    const next = receiveMessageOnPort(port)
    if (next === undefined) break
    requests.push(next.message as Request)
  }
  return requests
}

function handle(requests: readonly Request[]): void {
  const writing = read(requests)
  remember(writing.filter(isSigned))
  write(writing.filter(isPlain))
  if (requests.some(({ call }) => call.do === 'close')) end(requests)
  else workLater()
}

/** Answers those who only read: they need not wait for the lock that others hold. Gives the rest. */
function read(requests: readonly Request[]): (Signed | Plain)[] {
  const writing: (Signed | Plain)[] = []
  for (const request of requests) {
    const { id, call } = request
    if (call.do === 'close') continue
    attempt([id], () => {
      // First of all: what changes is told, as soon as there is something that can be read.
      if (call.do === 'start' || call.do === 'watchDomains') return begin(id, call.do === 'start' ? 'registrations' : 'domains')
      const here = connect(needsDatabase(call) ? 'or create' : 'if there')
      if (here === undefined) return answer(id, answerOfNothing(call))
      switch (call.do) {
        case 'look':
          listeners.tell()
          return answer(id, undefined)
        case 'everything': return answer(id, pieceOf(here, call))
        case 'enough':
          letGo(call.snapshot)
          return answer(id, undefined)
        // Opened before there is a transaction.
        case 'restore': here.signatures.open(call.now)
      }
      const steps = here.pieces(call)
      if (steps === undefined) return void writing.push({ id, call } as Signed | Plain)
      const one = { id, steps, next: steps.next().value as Next }
      if (call.do === 'set' || call.do === 'restore' || !step(one)) long.push(one)
    })
  }
  return writing
}

function begin(id: number, what: Listened): void {
  listeners.begin(what)
  answer(id, undefined)
}

function pieceOf({ database, signatures }: Connection, { snapshot, piece, now }: Extract<Call, { do: 'everything' }>): Answer {
  let one = snapshots.get(snapshot)
  // Another thread before this one had it: what was read there must not be read again as if it were the rest.
  if (one === undefined && piece > 0) throw new Error('it has broken off: begin again')
  if (one === undefined) snapshots.set(snapshot, (one = openSnapshot({ file, busyTimeout, database, signatures, now })))
  const things = one.next()
  if (things.length === 0) letGo(snapshot)
  return things
}

function letGo(snapshot: number): void {
  snapshots.get(snapshot)?.close()
  snapshots.delete(snapshot)
}

function isSigned(request: Request): request is Signed {
  return request.call.do === 'remember' || request.call.do === 'forget'
}

function isPlain(request: Signed | Plain): request is Plain {
  return !isSigned(request)
}

/** Does those of each kind in one transaction, or nothing of them. They wait for no lock on the database itself that need not. */
function remember(requests: readonly Signed[]): void {
  for (const kind of ['passing', 'ahead', 'forget'] as const) {
    const some = requests.filter(({ call }) => kindOf(call) === kind)
    if (some.length === 0) continue
    try {
      const verdicts = connected().signatures.perform(some.map(({ call }) => call))
      report({ outcomes: some.map((request, i) => outcomeOf(request, verdicts[i])) })
    } catch (error) {
      refuse(some.map(({ id }) => id), error, signaturesOf(file))
    }
  }
}

function outcomeOf({ id, call }: Signed, verdict: Verdict): Outcome {
  if (call.do === 'forget' || verdict !== undefined) return { id, ok: true, answer: verdict }
  return { id, ok: false, detail: 'the signature is of before what is remembered: it may have been used', cause: undefined }
}

/** Does all of it in one transaction, or nothing. */
function write(requests: readonly Plain[]): void {
  if (requests.length === 0) return
  attempt(requests.map(({ id }) => id), () => {
    const answers = transact('write', ({ feeds, perform }) => {
      for (const feed of Object.values(feeds)) feed.prune()
      return requests.map(({ call }) => perform(call))
    })
    listeners.tellCommitted()
    report({ outcomes: requests.map(({ id }, i) => ({ id, ok: true, answer: answers[i] })) })
  })
}

/** One piece, of those that are long in turn. */
function work(): void {
  const one = long.shift()
  if (one === undefined) return
  attempt([one.id], () => {
    if (!step(one)) long.push(one)
  })
  workLater()
}

/** One piece in a turn: what has come in is done in between. */
function workLater(): void {
  if (long.length === 0 || scheduled) return
  scheduled = true
  later(() => {
    scheduled = false
    work()
  })
}

/** True when that was the last piece. */
function step(one: Long): boolean {
  const result = transact(one.next, ({ feeds }) => {
    if (one.next === 'write') for (const feed of Object.values(feeds)) feed.prune()
    return one.steps.next()
  })
  if (one.next === 'write' || result.done === true) listeners.tellCommitted()
  if (result.done === true) answer(one.id, result.value)
  else one.next = result.value
  return result.done === true
}

function transact<T>(next: Next, act: (connection: Connection) => T): T {
  const here = connected()
  const { database } = here
  database.exec(next === 'write' ? 'BEGIN IMMEDIATE' : 'BEGIN')
  try {
    const result = act(here)
    database.exec('COMMIT')
    listeners.answered(true)
    return result
  } catch (error) {
    // Some failures have rolled it back already.
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

/** Refuses these when it throws. Where that was for a lock, all who wait for it now have waited as long: they are refused too. */
function attempt(ids: readonly number[], act: () => void): void {
  try {
    act()
  } catch (error) {
    listeners.answered(false)
    if (isFull(error)) makeRoom()
    if (!isLocked(error)) return refuse(ids, error)
    // Before anybody is told: what comes after that has not waited.
    const requests = waiting(Infinity)
    refuse(ids, error)
    refuse(long.filter(({ next }) => next === 'write').map(({ id }) => id), error)
    long = long.filter(({ next }) => next !== 'write')
    const writing = read(requests)
    refuse(writing.filter(isPlain).map(({ id }) => id), error)
    remember(writing.filter(isSigned))
    if (requests.some(({ call }) => call.do === 'close')) end(requests)
  }
}

/** What stands in the write-ahead log goes where it belongs, so that the next transaction may begin the log anew: for one that is smaller there may be room. */
function makeRoom(): void {
  try {
    connection?.database.exec('PRAGMA wal_checkpoint(RESTART)')
  } catch {
    // Then there is none.
  }
}

function connect(what: 'or create' | 'if there'): Connection | undefined {
  const database = what === 'or create' ? source.openOrCreate() : source.openIfThere()
  if (database === undefined || connection?.database === database) return connection
  const signatures = signatureMemory(database, { file, busyTimeout, bootTime })
  return (connection = { database, ...operations(database, signatures), feeds: changeFeeds(database), signatures })
}

function connected(): Connection {
  const here = connect('if there')
  if (here === undefined) throw new Error('it was moved or deleted while it was in use')
  return here
}

function answer(id: number, value: Answer): void {
  report({ outcomes: [{ id, ok: true, answer: value }] })
}

function refuse(ids: readonly number[], error: unknown, about = file): void {
  if (ids.length > 0) report({ outcomes: ids.map((id): Outcome => ({ id, ok: false, detail: reasonOf(about, error), cause: error })) })
}

function report(message: Report): void {
  port.postMessage(message, buffersOfAll(message))
}

function buffersOfAll(message: Report): ArrayBuffer[] {
  if ('outcomes' in message) return message.outcomes.flatMap(buffersOf)
  if ('available' in message || 'domains' in message.news) return []
  return [('all' in message.news ? message.news.all : message.news.rows).buffer]
}

/** The packed rows of a list are handed over, not copied. */
function buffersOf(outcome: Outcome): ArrayBuffer[] {
  if (!outcome.ok || !Array.isArray(outcome.answer)) return []
  return outcome.answer.flatMap((part) => (part instanceof Uint8Array ? [part.buffer as ArrayBuffer] : []))
}

/** What is under way is finished first. */
function end(requests: readonly Request[]): void {
  while (long.length > 0) work()
  listeners.stop()
  for (const one of snapshots.values()) one.close()
  for (const { id, call } of requests) if (call.do === 'close') answer(id, undefined)
  try {
    connection?.signatures.close()
    source.close()
  } finally {
    port.close()
  }
}
