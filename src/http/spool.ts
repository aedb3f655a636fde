import { mkdir, open, readdir, unlink, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'

/** There is no room for more: the bound is met, or the disk is full. */
export class SpoolFull extends Error {
  override readonly name = 'SpoolFull'
}

/** A body on disk, whole. It is held once from the start; the last to let go frees the disk. */
export interface SpooledBody {
  readonly size: number
  hold(): void
  letGo(): void
  /** Piece by piece; a piece is valid until the next is asked for. */
  read(): AsyncIterable<Buffer>
}

/** A body that is being written. */
export interface SpoolFile {
  readonly size: number
  /** @throws {SpoolFull} and then nothing of it is left */
  write(chunk: Buffer): Promise<void>
  finish(): SpooledBody
  /** Lets everything go. Does nothing after `finish`, or twice. */
  discard(): void
}

/** Bodies that are too large for memory, in files that nobody else sees. */
export interface Spool {
  /** Bytes that lie on disk now. */
  readonly bytes: number
  /** @throws {SpoolFull} */
  create(): Promise<SpoolFile>
}

const PIECE = 131_072

/** Node ends a process that forgets an open file. So none is forgotten, where a program never lets go of a body. */
const opened = new Set<FileHandle>()

/**
 * A spool in a folder, which is made when it is first needed. Each file loses its name as soon as it is open, so that a
 * process that is killed leaves nothing behind; where the system does not allow that, leftovers go at the next start.
 * @param folder for this spool alone: what lies in it is removed
 * @param maxBytes of all bodies together
 */
export function createSpool(folder: string, maxBytes: number): Spool {
  let bytes = 0
  let count = 0
  let ready: Promise<void> | undefined

  async function prepare(): Promise<void> {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    for (const name of await readdir(folder)) if (isLeftover(name)) await unlink(join(folder, name)).catch(() => {})
  }

  async function create(): Promise<SpoolFile> {
    await (ready ??= prepare().catch((error: unknown) => {
      ready = undefined
      throw full(error)
    }))
    const path = join(folder, `${process.pid}-${++count}.body`)
    const handle = await open(path, 'wx+', 0o600).catch((error: unknown) => {
      throw full(error)
    })
    opened.add(handle)
    const named = await unlink(path).then(() => false, () => true)
    return file(handle, named ? path : undefined)
  }

  function file(handle: FileHandle, path: string | undefined): SpoolFile {
    let size = 0
    let holders = 1
    let finished = false

    function letGo(): void {
      if (--holders !== 0) return
      bytes -= size
      opened.delete(handle)
      void handle.close().catch(() => {}).then(() => (path === undefined ? undefined : unlink(path).catch(() => {})))
    }

    const body: SpooledBody = {
      get size() { return size },
      hold() {
        holders++
      },
      letGo,
      read: () => pieces(handle, size),
    }
    return {
      get size() { return size },
      async write(chunk) {
        if (bytes + chunk.length > maxBytes) throw new SpoolFull(`the spool may take ${maxBytes} bytes, and has ${bytes}`)
        const at = size
        size += chunk.length
        bytes += chunk.length
        for (let written = 0; written < chunk.length; ) {
          const { bytesWritten } = await handle.write(chunk, written, chunk.length - written, at + written).catch((error: unknown) => {
            throw full(error)
          })
          written += bytesWritten
        }
      },
      finish() {
        finished = true
        return body
      },
      discard() {
        if (finished) return
        finished = true
        letGo()
      },
    }
  }

  return {
    get bytes() { return bytes },
    create,
  }
}

/** Whatever is wrong with the disk, the message cannot be put there. */
function full(error: unknown): SpoolFull {
  return new SpoolFull((error as Error).message, { cause: error })
}

/** Files of processes that are gone. Another hub may share the folder, and its files have their names for an instant. */
function isLeftover(name: string): boolean {
  const pid = /^(\d+)-\d+\.body$/.exec(name)?.[1]
  if (pid === undefined) return false
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

async function* pieces(handle: FileHandle, size: number): AsyncGenerator<Buffer> {
  // One and the same, filled again and again: with a new one each time, the garbage of many readers is most of the memory.
  const room = Buffer.allocUnsafeSlow(Math.min(PIECE, size))
  for (let at = 0; at < size; ) {
    const piece = room.subarray(0, Math.min(PIECE, size - at))
    const { bytesRead } = await handle.read(piece, 0, piece.length, at)
    if (bytesRead === 0) throw new Error('the spooled body is shorter than it was')
    at += bytesRead
    yield bytesRead === piece.length ? piece : piece.subarray(0, bytesRead)
  }
}
