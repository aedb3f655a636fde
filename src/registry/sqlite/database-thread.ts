import type { DatabaseSync } from 'node:sqlite'
import { parentPort, receiveMessageOnPort, workerData, type MessagePort } from 'node:worker_threads'
import type { Registration, RegistryChange } from '../../core/registry.ts'
import type { Answer, Call, Outcome, Report, Request, WorkerOptions } from './calls.ts'
import { changeFeed, type ChangeFeed } from './change-feed.ts'
import { databaseFile } from './file.ts'
import { answerOfNothing, needsDatabase, operations, writes } from './operations.ts'
import { reasonOf } from './reasons.ts'
import { MIGRATIONS } from './schema.ts'

interface Connection {
  readonly database: DatabaseSync
  readonly perform: (call: Call) => Answer
  readonly feed: ChangeFeed
}

/** Calls that share one transaction, and so one write to the disk. */
const MOST_TOGETHER = 1_000

const port = parentPort as MessagePort
const { file, busyTimeout, pollInterval } = workerData as WorkerOptions
const source = databaseFile(file, busyTimeout, MIGRATIONS)
const known = new Map<number, Registration>()
let connection: Connection | undefined
let polling: NodeJS.Timeout | undefined

port.on('message', (first: Request) => {
  const together = [first]
  while (together.length < MOST_TOGETHER) {
    const next = receiveMessageOnPort(port)
    if (next === undefined) break
    together.push(next.message as Request)
  }
  handle(together)
})

function handle(requests: readonly Request[]): void {
  const starts = requests.some(({ call }) => call.do === 'start')
  try {
    const answers = transact(requests.map(({ call }) => call))
    const changes = polling !== undefined || starts ? newsAfterCommit(starts) : []
    if (starts) polling ??= setInterval(poll, pollInterval)
    report(changes, requests.map(({ id }, i) => ({ id, ok: true, answer: answers[i] })))
  } catch (error) {
    const detail = reasonOf(file, error)
    report([], requests.map(({ id, call }) => (call.do === 'close' ? { id, ok: true, answer: undefined } : { id, ok: false, detail, cause: error })))
  }
  if (requests.some(({ call }) => call.do === 'close')) end()
}

/** Does all of it in one transaction, or nothing. */
function transact(calls: readonly Call[]): Answer[] {
  const { database, perform, feed } = connect(calls.some(needsDatabase)) ?? {}
  if (database === undefined || perform === undefined || feed === undefined) return calls.map(answerOfNothing)
  const writing = calls.some(writes)
  database.exec(writing ? 'BEGIN IMMEDIATE' : 'BEGIN')
  try {
    if (writing) feed.prune()
    const answers = calls.map(perform)
    database.exec('COMMIT')
    return answers
  } catch (error) {
    // Some failures have rolled it back already.
    if (database.isTransaction) database.exec('ROLLBACK')
    throw error
  }
}

function connect(create: boolean): Connection | undefined {
  const database = create ? source.openOrCreate() : source.openIfThere()
  if (database === undefined || connection?.database === database) return connection
  return (connection = { database, perform: operations(database), feed: changeFeed(database, known) })
}

/** What was done is done, whether or not it can be read again now: then the poll tells of it later. Only `start` fails with it. */
function newsAfterCommit(starts: boolean): RegistryChange[] {
  try {
    return connection?.feed.news() ?? []
  } catch (error) {
    if (starts) throw error
    return []
  }
}

function poll(): void {
  try {
    const changes = connect(false)?.feed.foreignNews() ?? []
    if (changes.length > 0) report(changes, [])
  } catch {
    // Whoever asks next is told why. The next poll tries again.
  }
}

function report(changes: readonly RegistryChange[], outcomes: readonly Outcome[]): void {
  port.postMessage({ changes, outcomes } satisfies Report)
}

function end(): void {
  clearInterval(polling)
  try {
    source.close()
  } finally {
    port.close()
  }
}
