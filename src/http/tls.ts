import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { unwatchFile, watchFile } from 'node:fs'
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
  const [cert, key] = await Promise.all([text(files.cert), text(files.key)])
  const certificate = attempt(() => new X509Certificate(cert), `${files.cert} holds no PEM certificate`)
  const privateKey = attempt(() => createPrivateKey(key), `${files.key} holds no usable private key`)
  if (!certificate.checkPrivateKey(privateKey)) throw new Error(`${files.key} is not the key of ${files.cert}`)
  attempt(() => createSecureContext({ cert, key }), `${files.cert} cannot be used`)
  return { cert, key }
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

/**
 * Looks at the files every second (by time and size, so that replaced links are seen too) and hands over the new pair
 * when they changed. A pair that cannot be used goes to `onError`, and the old one stays.
 */
export function watchTls(files: TlsFiles, first: TlsPair, on: { pair(pair: TlsPair): void; error(error: Error): void }): TlsWatch {
  let current = first
  let running: Promise<void> | undefined
  let again = false

  async function load(): Promise<void> {
    do {
      again = false
      try {
        const pair = await readTlsPair(files)
        if (pair.cert === current.cert && pair.key === current.key) continue
        current = pair
        on.pair(pair)
      } catch (error) {
        on.error(error as Error)
      }
    } while (again)
    running = undefined
  }
  function reload(): Promise<void> {
    again = running !== undefined
    return (running ??= load())
  }
  const changed = () => void reload()
  const names = [files.cert, files.key]
  for (const name of names) watchFile(name, { interval: 1_000, persistent: false }, changed)
  return {
    reload,
    stop() {
      for (const name of names) unwatchFile(name, changed)
    },
  }
}
