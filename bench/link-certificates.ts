import { openCertificates } from '../src/server/certificates.ts'

/** A CA of its own, a giver's certificate and a taker's, in an empty folder. */
export async function writeCertificates(folder: string): Promise<void> {
  const authority = await openCertificates(folder)
  await authority.issue({ kind: 'server', name: 'hub', ips: ['127.0.0.1'], dns: ['localhost'], days: 30 }, 'kept')
  await authority.issue({ kind: 'client', name: 'edge', ips: [], dns: [], days: 30 }, 'kept')
}
