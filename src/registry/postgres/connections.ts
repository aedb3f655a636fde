import { setTimeout as pause } from 'node:timers/promises'
import { Client, Pool, type ClientBase, type PoolClient } from 'pg'
import { WaystationError } from '../../core/errors.ts'
import { isAway, isCollision, sqlState, TooLateError, unavailable } from './reasons.ts'

export type Connection = Pick<ClientBase, 'query'>

/** The ways to the server: some connections that are shared, and one that listens. */
export interface Connections {
  /** Whether the server has answered the last time. True before the first time. */
  readonly available: boolean
  /**
   * Lends a connection. What takes longer than `ms` is given up, and its connection cut.
   * @throws {WaystationError} `registry_unavailable`; at once where the server was found away half a second ago
   */
  use<T>(act: (connection: Connection) => Promise<T>, ms?: number): Promise<T>
  /** Lends a connection for several steps, each in time, until its end. */
  hold(): Promise<Held>
  /** The same as `use` in a transaction, that is done again when others were in its way. What begins it may be several statements. */
  transact<T>(begin: string, act: (connection: Connection) => Promise<T>, ms?: number): Promise<T>
  /** Makes sure that one connection listens to what is not done by this very object. `made` is called when it is a new one: what was said before was not heard. */
  listen(heard: (what: string) => void, made: () => void): Promise<void>
  /** What is under way is finished first. */
  close(): Promise<void>
}

export interface Held {
  step<T>(act: (connection: Connection) => Promise<T>): Promise<T>
  /** Cuts it, with whatever it was in the middle of. */
  end(): void
}

/** Milliseconds that a call may take, connecting included: everything ends within five seconds. */
export const PATIENCE = 3_500
const CONNECT_PATIENCE = 2_000
const MOST_CONNECTIONS = 8
/** Where the server gives no more connections: milliseconds for which it is tried again, between two tries, and for which we make do with those that we have. */
const [CROWDED, BETWEEN_TRIES, MODEST] = [1_000, 20, 5_000]
/** Milliseconds for which nobody tries again, once it was found away. */
const PAUSE = 500
const MOST_TRIES = 3
const CHANNEL = 'waystation'
/**
 * For a server that goes on when we are gone: no statement, no lock and no forgotten transaction holds others up. What is
 * answered must be on disk, and a statement sees what was done before it, whatever the defaults are.
 */
const SESSION = `SET default_transaction_isolation = 'read committed'; SET statement_timeout = ${PATIENCE}; SET lock_timeout = 2000; SET idle_in_transaction_session_timeout = 10000; SET bytea_output = 'hex';
  SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`

/** @throws {WaystationError} `config_invalid` when the url cannot be understood */
export function createConnections(url: string): Connections {
  const config = { connectionString: url, connectionTimeoutMillis: CONNECT_PATIENCE, application_name: 'waystation', keepAlive: true }
  const pool = poolOf({ ...config, max: MOST_CONNECTIONS, idleTimeoutMillis: 30_000, allowExitOnIdle: true })
  const name = nameOf(url)
  let available = true
  let away: { readonly error: WaystationError; readonly since: number } | undefined
  let modestUntil = 0
  let listener: Client | undefined
  const holds = new Set<Held>()
  const ours = new Set<ClientBase & { readonly processID?: number }>()
  let closed = false

  pool.on('error', () => {})
  pool.on('remove', (client) => ours.delete(client))
  pool.on('connect', (client) => {
    ours.add(client)
    // A failure of the client comes to whoever asks it next.
    client.on('error', () => {})
    client.query(SESSION).catch(() => {})
  })

  function answered(): void {
    available = true
    away = undefined
  }

  function failed(error: unknown): WaystationError {
    const told = unavailable(name, error)
    if (isAway(error)) available = false
    else if (!(error instanceof WaystationError)) answered()
    return told
  }

  /** Not for a connection that was cut: the next may be made at once. */
  function unreachable(error: unknown): WaystationError {
    const told = failed(error)
    if (!available) away = { error: told, since: performance.now() }
    return told
  }

  async function connect(): Promise<PoolClient> {
    if (closed) throw closedError()
    if (away !== undefined && performance.now() - away.since < PAUSE) throw away.error
    if (performance.now() > modestUntil) pool.options.max = MOST_CONNECTIONS
    for (const end = performance.now() + CROWDED; ;) {
      try {
        return await pool.connect()
      } catch (error) {
        if (sqlState(error) !== '53300' || performance.now() > end) throw unreachable(error)
        pool.options.max = Math.max(1, pool.totalCount)
        modestUntil = performance.now() + MODEST
        await pause(BETWEEN_TRIES)
      }
    }
  }

  function closedError(): WaystationError {
    return new WaystationError('registry_unavailable', `${name}: it was closed`)
  }

  async function use<T>(act: (connection: Connection) => Promise<T>, ms = PATIENCE): Promise<T> {
    const end = performance.now() + ms
    const client = await connect()
    try {
      const result = await inTime(act(client), end - performance.now())
      client.release()
      answered()
      return result
    } catch (error) {
      client.release(isAway(error))
      throw error instanceof TooLateError ? unreachable(error) : failed(error)
    }
  }

  return {
    get available() {
      return available
    },
    use,
    async hold() {
      const client = await connect()
      const held: Held = {
        async step(act) {
          if (!holds.has(held)) throw closedError()
          try {
            return await inTime(act(client), PATIENCE)
          } catch (error) {
            held.end()
            throw failed(error)
          }
        },
        end() {
          // What is left of a transaction goes with the connection.
          if (holds.delete(held)) client.release(true)
        },
      }
      holds.add(held)
      return held
    },
    transact(begin, act, ms) {
      return use(async (connection) => {
        for (let tries = 1; ; tries++) {
          try {
            await connection.query(begin)
            const result = await act(connection)
            await connection.query('COMMIT')
            return result
          } catch (error) {
            // The pool throws away connections that are broken.
            if (!isAway(error)) await connection.query('ROLLBACK')
            if (tries === MOST_TRIES || !isCollision(error)) throw error
          }
        }
      }, ms)
    },
    async listen(heard, made) {
      if (listener !== undefined || closed) return
      const client = new Client(config)
      listener = client
      const lost = (): void => {
        if (listener === client) listener = undefined
      }
      client.on('error', lost)
      client.on('end', lost)
      client.on('notification', ({ payload, processId }) => {
        for (const one of ours) if (one.processID === processId) return
        heard(payload ?? '')
      })
      try {
        await inTime(client.connect().then(() => client.query(`LISTEN ${CHANNEL}`)), PATIENCE)
      } catch (error) {
        lost()
        void client.end().catch(() => {})
        throw failed(error)
      }
      // The types do not know it.
      const listening = client as Client & { unref(): void }
      listening.unref()
      made()
    },
    async close() {
      closed = true
      const client = listener
      listener = undefined
      for (const held of holds) held.end()
      await Promise.all([pool.end(), client === undefined ? undefined : inTime(client.end(), PATIENCE).catch(() => {})])
    },
  }
}

function poolOf(config: ConstructorParameters<typeof Pool>[0]): Pool {
  try {
    // The pool reads the url with the first connection.
    new Client(config)
    return new Pool(config)
  } catch (error) {
    const { code, path } = error as NodeJS.ErrnoException
    if (path !== undefined) throw new WaystationError('config_invalid', `the url of the database names a file that cannot be read (${String(code)}): ${path}`)
    // The error has the url, and the url a password.
    throw new WaystationError('config_invalid', 'the url of the database must be postgres://user:password@host:port/name')
  }
}

/** The url without what is secret. */
function nameOf(url: string): string {
  try {
    const { host, pathname, username } = new URL(url)
    return `PostgreSQL ${host === '' ? '' : `at ${host}, `}database ${decodeURIComponent(pathname.slice(1)) || username}`
  } catch {
    throw new WaystationError('config_invalid', 'the url of the database must be postgres://user:password@host:port/name')
  }
}

/** @throws {TooLateError} */
export async function inTime<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  // It may still fail when nobody waits for it any more.
  promise.catch(() => {})
  try {
    return await Promise.race([promise, new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new TooLateError('no answer in time')), Math.max(0, ms))
    })])
  } finally {
    clearTimeout(timer)
  }
}
