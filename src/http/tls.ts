import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'

export interface TlsFiles {
  readonly cert: string
  readonly key: string
}

export interface TlsPair {
  readonly cert: string
  readonly key: string
}

/**
 * Reads a certificate chain and its key, and proves that they belong together.
 * @throws {Error} with a sentence that names the file at fault
 */
export async function readTlsPair(files: TlsFiles): Promise<TlsPair> {
  const pair = await read(files)
  check(files, pair)
  return pair
}

async function read(files: TlsFiles): Promise<TlsPair> {
  const [cert, key] = await Promise.all([text(files.cert), text(files.key)])
  return { cert, key }
}

function check(files: TlsFiles, { cert, key }: TlsPair): void {
  const certificate = attempt(() => new X509Certificate(cert), `${files.cert} holds no PEM certificate`)
  const privateKey = attempt(() => createPrivateKey(key), `${files.key} holds no usable private key`)
  if (!certificate.checkPrivateKey(privateKey)) throw new Error(`${files.key} is not the key of ${files.cert}`)
  attempt(() => createSecureContext({ cert, key }), `${files.cert} cannot be used`)
}

async function text(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: Error) => {
    throw new Error(`${file} cannot be read: ${cause.message}`, { cause })
  })
}

function attempt<T>(fn: () => T, otherwise: string): T {
  try {
    return fn()
  } catch (cause) {
    throw new Error(otherwise, { cause })
  }
}

export interface TlsWatch {
  /** Reads the files now. */
  reload(): Promise<void>
  stop(): void
}

const LOOK_MS = 1_000

/**
 * Reads the files every second and hands over the new pair when they changed. A pair that cannot be used is told once,
 * and the old one stays. The contents are compared, not times: what changed before the first look is seen as well, and
 * so is a link that points elsewhere.
 */
export function watchTls(files: TlsFiles, first: TlsPair, on: { pair(pair: TlsPair): void; error(error: Error): void }): TlsWatch {
  let current = first
  /** What the last look found, usable or not. */
  let seen = first.cert + first.key
  let running: Promise<void> | undefined
  let again = false

  async function look(): Promise<void> {
    const found = await read(files).catch((error: Error) => error)
    const mark = found instanceof Error ? found.message : found.cert + found.key
    if (mark === seen) return
    seen = mark
    try {
      if (found instanceof Error) throw found
      check(files, found)
      if (found.cert === current.cert && found.key === current.key) return
      current = found
      on.pair(found)
    } catch (error) {
      on.error(error as Error)
    }
  }
  async function load(): Promise<void> {
    do {
      again = false
      await look()
    } while (again)
    running = undefined
  }
  function reload(): Promise<void> {
    again = running !== undefined
    return (running ??= load())
  }
  const timer = setInterval(() => void reload(), LOOK_MS)
  timer.unref()
  return {
    reload,
    stop: () => clearInterval(timer),
  }
}
