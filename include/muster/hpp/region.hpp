// Named shared memory, or a mapped file (region.h): one whole initialisation, or none.
//
//   muster::RegionOptions options;
//   options.size = sizeof(Table);
//   options.kind = MUSTER_KIND('T', 'A', 'B', 'L');
//   options.initialize = [](void *payload, std::size_t) { new (payload) Table; };
//   muster::Region region("table", options);
//   auto *table = static_cast<Table *>(region.data());
// SPDX-License-Identifier: Apache-2.0
#ifndef MUSTER_HPP_REGION_HPP
#define MUSTER_HPP_REGION_HPP

#include <cstddef>
#include <functional>
#include <type_traits>

#include "../region.h"
#include "deadline.hpp"
#include "error.hpp"

namespace muster {

/// How an object is opened or removed by name (muster_region_flags); they are joined by |.
enum class Flags : std::uint32_t {
  None = 0,
  Create = MUSTER_REGION_CREATE,       ///< alone: create, EEXIST when the name is taken
  Attach = MUSTER_REGION_ATTACH,       ///< alone: attach, ENOENT when there is nothing
  Open = MUSTER_REGION_OPEN,           ///< attach to what is there, else create
  ReadOnly = MUSTER_REGION_READ_ONLY,  ///< map read-only; only with Attach
  File = MUSTER_REGION_FILE,           ///< the name is the path of a file
  AnyOwner = MUSTER_REGION_ANY_OWNER,  ///< accept what belongs to another user
  Force = MUSTER_REGION_FORCE,         ///< remove: also while somebody holds it
  Peek = MUSTER_REGION_PEEK,           ///< with ReadOnly: look without holding
};

[[nodiscard]] constexpr Flags operator|(Flags a, Flags b) noexcept {
  return static_cast<Flags>(static_cast<std::uint32_t>(a) | static_cast<std::uint32_t>(b));
}

/// Fills a payload. What it throws ends the opening, and is thrown there.
using RegionFill = std::function<void(void *payload, std::size_t size)>;

/// What a region is opened with: muster_region_options.
struct RegionOptions {
  Flags flags = Flags::Open;
  std::uint32_t mode = 0;     ///< permissions when created; 0 is 0600
  std::uint32_t kind = 0;     ///< MUSTER_KIND of the payload; 0 when attaching: any
  std::uint32_t version = 0;  ///< of the payload's layout
  std::uint64_t layout = 0;   ///< a hash of what else must agree; 0 when attaching: any
  std::uint64_t size = 0;     ///< bytes of the payload; 0 when attaching: any
  Deadline deadline = Deadline::now();  ///< Attach alone: how long to wait for the name
  RegionFill initialize{};    ///< fills a new payload before anybody can see it; may be called again on another one
  RegionFill renew{};         ///< puts in order what a dead generation of users left; nobody else holds it meanwhile
};

/// What can be said of a region without attaching to it.
using RegionInfo = muster_region_info;

/// A handle of a region: muster_region. Moved, not copied; the destructor unmaps it, and the name stays.
class Region {
 public:
  /// Not open.
  Region() noexcept = default;

  /// Opens it: creates it, attaches to it, or whichever is needed. muster_region_open.
  /// \throws muster::error with the values of that function (mismatch() at EPROTO); what initialize or renew threw.
  explicit Region(const Name &name, const RegionOptions &options = {}) {
    detail::check("open the region", name.text(), open(name, options));
  }
  /// The same; not open where `ec` is set. What initialize or renew threw is thrown here too.
  Region(const Name &name, const RegionOptions &options, std::error_code &ec) {
    ec = to_error_code(open(name, options).status);
  }

  /// Whether it is open. All below but close() is for one that is.
  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

  /// Unmaps it; the name stays. Again: nothing. muster_region_close.
  void close() noexcept { handle_.reset(); }

  /// The payload, aligned to 256 bytes, and its size. Nothing where it is not open.
  [[nodiscard]] void *data() const noexcept { return handle_ ? muster_region_payload(handle_.get()) : nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return handle_ ? muster_region_size(handle_.get()) : 0; }

  /// The name as it was given.
  [[nodiscard]] std::string name() const { return handle_ ? muster_region_name(handle_.get()) : ""; }

  /// Whether this handle created what it maps.
  [[nodiscard]] bool created() const noexcept { return handle_ && muster_region_created(handle_.get()); }

  /// Whether the name still leads to this region. muster_region_current.
  /// \throws muster::error where that can't be told.
  [[nodiscard]] bool current() const {
    const int status = handle_ ? muster_region_current(handle_.get()) : EBADF;
    if (status == ESTALE) return false;
    detail::check("look up the region", name(), {status});
    return true;
  }

  /// Makes a file's contents durable. muster_region_sync.
  /// \throws muster::error
  void sync() { detail::check("write back the region", name(), {handle_ ? muster_region_sync(handle_.get()) : EBADF}); }
  void sync(std::error_code &ec) noexcept { ec = to_error_code(handle_ ? muster_region_sync(handle_.get()) : EBADF); }

  /// For the C API; it stays this object's.
  [[nodiscard]] muster_region *get() const noexcept { return handle_.get(); }

  /// Removes a name; flags: File, Force, AnyOwner. False: there was none. muster_region_remove.
  /// \throws muster::error, such as EBUSY for one that somebody holds.
  static bool remove(const Name &name, Flags flags = Flags::None) {
    std::error_code ec;
    const bool removed = remove(name, flags, ec);
    detail::check("remove the region", name.text(), {ec.value()});
    return removed;
  }
  static bool remove(const Name &name, Flags flags, std::error_code &ec) noexcept {
    const int status = muster_region_remove(name.c_str(), static_cast<std::uint32_t>(flags));
    ec = to_error_code(status == ENOENT ? 0 : status);
    return status == 0;
  }

  /// Looks at a region without holding or disturbing it; nothing where there is no such name. Flags: File.
  /// muster_region_inspect.
  /// \throws muster::error
  [[nodiscard]] static std::optional<RegionInfo> inspect(const Name &name, Flags flags = Flags::None) {
    RegionInfo info{};
    const int status = muster_region_inspect(name.c_str(), static_cast<std::uint32_t>(flags), &info);
    if (status == ENOENT) return std::nullopt;
    detail::check("look at the region", name.text(), {status});
    return info;
  }

  /// Calls `visit(const RegionInfo &)` for each named region that the caller may read; it may return false to end that.
  /// muster_region_list.
  /// \throws muster::error; what `visit` threw.
  template <class Visit>
  static void list(Visit &&visit) {
    Visitor<std::remove_reference_t<Visit>> visitor{visit, nullptr};
    const int status = muster_region_list(&visitor.call, &visitor);
    detail::rethrow(visitor.thrown);
    if (status != visitor.enough) detail::check("list the regions", "", {status});
  }

 private:
  struct Close {
    void operator()(muster_region *region) const noexcept { muster_region_close(region); }
  };

  template <class Visit>
  struct Visitor {
    Visit &visit;
    std::exception_ptr thrown;
    static constexpr int enough = -1;  // no errno value

    static int call(const RegionInfo *info, void *context) noexcept {
      auto &self = *static_cast<Visitor *>(context);
      bool more = true;
      const int status = detail::guarded(self.thrown, [&] {
        if constexpr (std::is_void_v<decltype(self.visit(*info))>) self.visit(*info);
        else more = static_cast<bool>(self.visit(*info));
      });
      return status ? status : more ? 0 : enough;
    }
  };

  // What the C callbacks are given.
  struct Fills {
    const RegionOptions &options;
    std::exception_ptr thrown;

    template <RegionFill RegionOptions::*Which>
    static int call(void *payload, std::size_t size, void *context) noexcept {
      auto &self = *static_cast<Fills *>(context);
      return detail::guarded(self.thrown, [&] { (self.options.*Which)(payload, size); });
    }
  };

  detail::Failure open(const Name &name, const RegionOptions &options) {
    detail::Failure failure;
    Fills fills{options, nullptr};
    muster_region_options plain{};
    plain.flags = static_cast<std::uint32_t>(options.flags);
    plain.mode = options.mode;
    plain.kind = options.kind;
    plain.version = options.version;
    plain.layout = options.layout;
    plain.size = options.size;
    plain.deadline = options.deadline.get();
    if (options.initialize) plain.initialize = &Fills::call<&RegionOptions::initialize>;
    if (options.renew) plain.renew = &Fills::call<&RegionOptions::renew>;
    plain.context = &fills;
    plain.mismatch = &failure.mismatch;
    muster_region *region = nullptr;
    failure.status = muster_region_open(name.c_str(), &plain, &region);
    // An earlier try may have thrown and another have succeeded: only a failure is what the callback said.
    if (failure.status) detail::rethrow(fills.thrown);
    else handle_.reset(region);
    return failure;
  }

  std::unique_ptr<muster_region, Close> handle_;
};

}  // namespace muster

#endif
