import { setTimeout as pause } from 'node:timers/promises'
import { Agent } from 'undici'
import { WaystationError } from '../../core/errors.ts'
import { nodesOf, redirected, type Node } from './nodes.ts'
import type { Result, Row, Statement } from './statements.ts'

/** What an answer promises, and by that what it costs. */
export type Level =
  /** One transaction in the Raft log, with reads behind all that was answered before by any node. It costs an entry, and a disk write on most nodes. */
  | 'agreed'
  /** The same for writes alone. Only here a statement that does not compile, as where its table is missing, undoes the rest: rqlite 8.26 leaves it out of what is agreed. */
  | 'whole'
  /** The leader's own state: a leader that does not know yet that it is none answers with what it has, for as long as its lease. No entry. */
  | 'weak'
  /** What the node has that is asked, when it has heard of the leader within a second. No other node is asked. */
  | 'near'

export interface Cluster {
  /** Milliseconds that an answer is waited for in all. */
  readonly patience: number
  /** Whether the last question was answered. */
  readonly available: boolean
  /**
   * Does the statements, in a transaction. What one node cannot do now is asked of the next, until the deadline; a node may
   * have done it though, or may do it later: whatever writes must bear that.
   * @param deadline by `performance.now()`; `patience` ms from now unless stated
   * @throws {WaystationError} `registry_unavailable`; at once when that was so less than a second ago
   * @throws {StatementError}
   */
  ask(level: Level, statements: readonly Statement[], deadline?: number): Promise<readonly Result[]>
  /** Asks even when nothing was answered just now, each node once. */
  probe(level: Level, statements: readonly Statement[]): Promise<readonly Result[]>
  close(): Promise<void>
}

/** A statement that the database refuses; nothing of its transaction was done, but where it does not compile (see `Level`). */
export class StatementError extends Error {
  override readonly name = 'StatementError'
  /** Which one. */
  readonly at: number

  constructor(message: string, at: number) {
    super(message)
    this.at = at
  }
}

/** What a node said when it could not. */
class NodeError extends Error {
  override readonly name: string = 'NodeError'
}

/** No other node would say otherwise. */
class RefusedError extends NodeError {
  override readonly name = 'RefusedError'
}

const PATHS: Readonly<Record<Level, string>> = {
  agreed: '/db/request?transaction&level=strong',
  whole: '/db/execute?transaction',
  weak: '/db/query?transaction&level=weak',
  near: '/db/query?transaction&level=none&freshness=1s',
}

/** Milliseconds that one node has. */
const ONE_NODE = 1_500
/** Milliseconds before the nodes are asked again when none has a leader. */
const BETWEEN_ROUNDS = 50
/** Milliseconds for which nobody waits again when nothing was answered. */
const KNOWN_AWAY = 1_000
const MOST_REDIRECTS = 3
const NO_ANSWER = 'what answers there is no rqlite, or it answers less than it was asked'
/** Signs of what a node said that stand in an error. */
const QUOTED = 200

/**
 * @param urls of the nodes, such as `http://user:password@127.0.0.1:4001`. The one that answered last is asked first.
 * @param patience ms that an answer is waited for in all
 */
export function createCluster(urls: readonly string[], patience: number): Cluster {
  const nodes = nodesOf(urls)
  const agent = new Agent({ connections: 8, connect: { timeout: ONE_NODE }, keepAliveTimeout: 30_000 })
  let preferred = 0
  let away: { readonly at: number; readonly error: WaystationError } | undefined

  async function ask(level: Level, statements: readonly Statement[], deadline = performance.now() + patience): Promise<readonly Result[]> {
    if (away !== undefined && performance.now() - away.at < KNOWN_AWAY) throw away.error
    return everywhere(level, statements, deadline, Infinity)
  }

  async function everywhere(level: Level, statements: readonly Statement[], deadline: number, most: number): Promise<readonly Result[]> {
    const body = JSON.stringify(statements)
    for (let tries = 1; ; tries++) {
      const at = preferred
      const node = nodes[at] as Node
      try {
        const results = await post(node, PATHS[level], body, statements.length, Math.min(ONE_NODE, deadline - performance.now()))
        away = undefined
        return results
      } catch (error) {
        // It is the statement's own fault: no other node would take it.
        if (error instanceof StatementError) {
          away = undefined
          throw error
        }
        if (preferred === at) preferred = (at + 1) % nodes.length
        const left = deadline - performance.now()
        if (error instanceof RefusedError || tries >= most || left < BETWEEN_ROUNDS * 2) throw unavailable(node, error)
        if (tries % nodes.length === 0) await pause(BETWEEN_ROUNDS)
      }
    }
  }

  function unavailable(node: Node, error: unknown): WaystationError {
    const said = error instanceof Error ? error.message || error.name : String(error)
    const detail = `rqlite: no node can do it now; ${node.origin}: ${said}`
    const wrapped = new WaystationError('registry_unavailable', detail, error)
    away = { at: performance.now(), error: wrapped }
    return wrapped
  }

  async function post(node: Node, path: string, body: string, count: number, ms: number): Promise<readonly Result[]> {
    const signal = AbortSignal.timeout(Math.max(1, Math.ceil(ms)))
    // What a node passes on to the leader must not wait longer than we do.
    const timed = `${path}&timeout=${Math.max(1, Math.floor(ms * 0.9))}ms`
    for (let at = node, redirects = 0; ; redirects++) {
      const { statusCode, headers, body: answer } = await agent.request({ origin: at.origin, path: timed, method: 'POST', headers: at.headers, body, signal })
      const text = await answer.text()
      const next = [301, 302, 307, 308].includes(statusCode) && redirects < MOST_REDIRECTS ? redirected(nodes, at, headers['location']) : undefined
      if (next === undefined) return read(statusCode, text, count)
      at = next
    }
  }

  return {
    patience,
    get available() {
      return away === undefined
    },
    ask,
    probe: (level, statements) => everywhere(level, statements, performance.now() + patience, nodes.length),
    close: () => agent.close(),
  }
}

function read(status: number, text: string, count: number): readonly Result[] {
  if (status === 401 || status === 403) throw new RefusedError('it refuses the user name and password of the url, or they may not do this')
  if (status !== 200) throw new NodeError(`status ${status}: ${text.trim().slice(0, QUOTED)}`)
  const { results, error } = answerOf(text)
  if (error !== undefined) throw new NodeError(error.slice(0, QUOTED))
  const all = results.map((one, at) => {
    if (one.error !== undefined) throw new StatementError(one.error, at)
    return { affected: one.rows_affected ?? 0, rows: one.values ?? [] }
  })
  // What says nothing of a statement must not be taken for one that changed nothing.
  if (all.length !== count) throw new NodeError(NO_ANSWER)
  return all
}

/** Something else may listen there, or stand in between. */
function answerOf(text: string): { readonly results: readonly RawResult[]; readonly error?: string } {
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch {
    throw new NodeError(NO_ANSWER)
  }
  const { results = [], error } = (typeof answer === 'object' && answer !== null ? answer : {}) as { results?: unknown; error?: unknown }
  if (!Array.isArray(results) || results.some((one) => typeof one !== 'object' || one === null)) throw new NodeError(NO_ANSWER)
  return { results: results as readonly RawResult[], ...(error === undefined ? {} : { error: String(error) }) }
}

interface RawResult {
  readonly error?: string
  readonly rows_affected?: number
  readonly values?: readonly Row[]
}
