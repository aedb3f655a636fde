import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { watchContents, type Watch } from './watch.ts'

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
  const [cert, key] = await Promise.all([readText(files.cert), readText(files.key)])
  return { cert, key }
}

function check(files: TlsFiles, { cert, key }: TlsPair): void {
  const certificate = attempt(() => new X509Certificate(cert), `${files.cert} holds no PEM certificate`)
  const privateKey = attempt(() => createPrivateKey(key), `${files.key} holds no usable private key`)
  if (!certificate.checkPrivateKey(privateKey)) throw new Error(`${files.key} is not the key of ${files.cert}`)
  attempt(() => createSecureContext({ cert, key }), `${files.cert} cannot be used`)
}

/** @throws {Error} with a sentence that names the file */
export async function readText(file: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: Error) => {
    throw new Error(`${file} cannot be read: ${cause.message}`, { cause })
  })
}

/** @throws {Error} with the sentence, where the function throws anything; that is its cause */
export function attempt<T>(fn: () => T, otherwise: string): T {
  try {
    return fn()
  } catch (cause) {
    throw new Error(otherwise, { cause })
  }
}

/**
 * Reads the files every second and hands over the new pair when they changed. A pair that cannot be used is told once,
 * and the old one stays.
 */
export function watchTls(files: TlsFiles, first: TlsPair, on: { pair(pair: TlsPair): void; error(error: Error): void }): Watch {
  let current = first
  return watchContents({
    read: () => read(files),
    markOf: ({ cert, key }) => cert + key,
    first: first.cert + first.key,
    take(found) {
      check(files, found)
      if (found.cert === current.cert && found.key === current.key) return
      current = found
      on.pair(found)
    },
    error: on.error,
  })
}
