import { closeSync, constants, linkSync, lstatSync, mkdirSync, openSync, renameSync, unlinkSync, type BigIntStats } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CONTROL_FILE } from './control-messages.ts'

/** Bytes that the name of a UNIX socket may have; the operating system has no room for more. */
const MOST_NAME_BYTES = process.platform === 'linux' ? 107 : 103
/** ms after which a socket that nobody listens on is asked again: between its making and its listening lies a moment. */
const SECOND_LOOK = 50
const ROOT = 0

/** Why there is no control socket, in words for an operator. */
export class ControlSocketError extends Error {
  override readonly name = 'ControlSocketError'
}

/**
 * Opens the control socket of a data folder, which is made if it is missing. The socket is for its owner alone from its
 * first moment on. One that nobody listens on is what a killed hub left behind, and is replaced; anything else that
 * stands in the way stays.
 * @returns what closes it and takes the file away; it does not end the connections
 * @throws {ControlSocketError}
 */
export async function openControlSocket(folder: string, connected: (socket: Socket) => void): Promise<() => Promise<void>> {
  const { path, release } = named(folder, () => mkdirSync(folder, { recursive: true, mode: 0o700 }))
  const server = createServer(connected)
  try {
    await listenAlone(server, path)
  } catch (error) {
    release()
    throw error instanceof ControlSocketError ? error : new ControlSocketError(`${join(folder, CONTROL_FILE)}: ${(error as Error).message}`, { cause: error })
  }
  server.unref()
  return async () => {
    await new Promise<void>((done) => {
      // It takes the file away, too.
      server.close(() => done())
    })
    release()
  }
}

/**
 * Connects to the control socket of a data folder. One that somebody else has put there, where the folder let him, is not
 * asked: it would say of any process that it is the hub to be stopped.
 * @param user who asks; root may ask everybody's
 * @throws {NodeJS.ErrnoException} `ENOENT` and `ECONNREFUSED` when there is no hub, `ENOTSOCK` when there is something else, `EACCES` when it is not this user's
 */
export async function connectControl(folder: string, user: number | undefined = process.getuid?.()): Promise<Socket> {
  const { path, release } = named(folder, () => {})
  try {
    const found = look(path)
    if (found?.isSocket() === false) throw refusal('ENOTSOCK', path)
    if (found !== undefined && user !== undefined && user !== ROOT && found.uid !== BigInt(user)) throw refusal('EACCES', path)
    return await new Promise<Socket>((done, failed) => {
      const socket = connect(path)
      socket.once('error', failed)
      socket.once('connect', () => {
        socket.off('error', failed)
        done(socket)
      })
    })
  } finally {
    release()
  }
}

/** The name by which the system finds the socket. One that is too long is shortened by way of the open folder, where the system can. */
function named(folder: string, prepare: () => void): { path: string; release: () => void } {
  prepare()
  const path = resolve(folder, CONTROL_FILE)
  if (Buffer.byteLength(path) <= MOST_NAME_BYTES) return { path, release() {} }
  if (process.platform !== 'linux') throw new ControlSocketError(`${path} is longer than the ${MOST_NAME_BYTES} bytes that a socket's name may have; choose a shorter --data-dir`)
  const descriptor = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  return { path: `/proc/self/fd/${descriptor}/${CONTROL_FILE}`, release: () => closeSync(descriptor) }
}

async function listenAlone(server: Server, path: string): Promise<void> {
  for (let tries = 0; ; tries++) {
    try {
      return await bind(server, path)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || tries === 3) throw error
    }
    await makeWay(path)
  }
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((done, failed) => {
    server.once('error', failed)
    // The file is made within the call, so that nobody else of this process sees the other mask.
    const mask = process.umask(0o177)
    try {
      server.listen(path, () => {
        server.off('error', failed)
        done()
      })
    } finally {
      process.umask(mask)
    }
  })
}

async function makeWay(path: string): Promise<void> {
  const found = look(path)
  if (found === undefined) return
  if (!found.isSocket()) throw new ControlSocketError(`${path} exists and is no socket; move it away`)
  if (await answers(path)) throw new ControlSocketError('another hub runs on this data folder')
  await sleep(SECOND_LOOK)
  if (await answers(path)) throw new ControlSocketError('another hub runs on this data folder')
  // Somebody else may be making way, too, and have a new socket there by now: then it is put back.
  const aside = `${path}.${process.pid}`
  try {
    renameSync(path, aside)
  } catch {
    return
  }
  const taken = look(aside)
  // The number alone would not do: a file system gives that of a file that is gone to the next one.
  try {
    if (taken?.ino !== found.ino || taken.mtimeNs !== found.mtimeNs) linkSync(aside, path)
  } finally {
    unlinkSync(aside)
  }
}

function refusal(code: 'ENOTSOCK' | 'EACCES', path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${path}`), { code })
}

function look(path: string): BigIntStats | undefined {
  return lstatSync(path, { throwIfNoEntry: false, bigint: true })
}

async function answers(path: string): Promise<boolean> {
  return new Promise((done) => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      done(true)
    })
    // Only a refusal proves that nobody is there.
    probe.once('error', (error: NodeJS.ErrnoException) => done(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'))
  })
}
