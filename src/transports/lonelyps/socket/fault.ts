/** Something that ends a socket: it said what it must not, or it cannot be served. The reason is for the log. */
export class Fault extends Error {
  override readonly name = 'Fault'
}
