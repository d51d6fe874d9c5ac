#pragma once
#include "mia/core/error.hpp"
#include "mia/video/ffmpeg.hpp"

extern "C" {
#include <libavfilter/avfilter.h>
#include <libavfilter/buffersink.h>
#include <libavfilter/buffersrc.h>
}

#include <memory>
#include <string>

namespace mia::detail {

inline bool is_interlaced(const AVFrame& frame) {
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(58, 7, 100)
    return (frame.flags & AV_FRAME_FLAG_INTERLACED) != 0;
#else
    return frame.interlaced_frame != 0;
#endif
}

/// Marks a frame as one of two fields, `top_first` the order in which they are shown.
inline void mark_interlaced(AVFrame& frame, bool top_first) {
#if LIBAVUTIL_VERSION_INT >= AV_VERSION_INT(58, 7, 100)
    frame.flags |= AV_FRAME_FLAG_INTERLACED;
    frame.flags &= ~AV_FRAME_FLAG_TOP_FIELD_FIRST;
    if (top_first) frame.flags |= AV_FRAME_FLAG_TOP_FIELD_FIRST;
#else
    frame.interlaced_frame = 1;
    frame.top_field_first = top_first ? 1 : 0;
#endif
}

inline bool is_interlaced(AVFieldOrder order) {
    return order == AV_FIELD_TT || order == AV_FIELD_BB || order == AV_FIELD_TB || order == AV_FIELD_BT;
}

/// Frames marked as interlaced become progressive ones, one for one, with their time stamps (bwdif: Weston's
/// three-field filter, with yadif's choice of where to use it). The others pass unchanged.
class Deinterlacer {
public:
    /// For frames like `first`, of time stamps in `time_base`. Error when bwdif does not take them.
    Deinterlacer(const AVFrame& first, AVRational time_base, const std::string& name)
        : name_(name), time_base_(time_base), graph_(avfilter_graph_alloc()) {
        const AVFilter* source = avfilter_get_by_name("buffer");
        const AVFilter* bwdif = avfilter_get_by_name("bwdif");
        const AVFilter* sink = avfilter_get_by_name("buffersink");
        require(source != nullptr && bwdif != nullptr && sink != nullptr, name,
                ": FFmpeg's libraries have no filter bwdif, which deinterlaces. Install a complete build of them.");
        require(graph_ != nullptr, "FFmpeg: no memory for a filter");
        graph_->nb_threads = 1;
        avfilter_graph_set_auto_convert(graph_.get(), AVFILTER_AUTO_CONVERT_NONE);
        const AVRational aspect = first.sample_aspect_ratio;
        const std::string format =
            text("video_size=", first.width, "x", first.height, ":pix_fmt=", first.format, ":time_base=", time_base.num,
                 "/", time_base.den, ":pixel_aspect=", aspect.num, "/", aspect.den > 0 ? aspect.den : 1);
        AVFilterContext* filter = nullptr;
        const std::string refused =
            text(name, ": bwdif does not deinterlace frames of ", first.width, " x ", first.height, ", ",
                 format_name(first.format), ". Deinterlace the video first: ffmpeg -i IN -vf bwdif=mode=0 OUT");
        av_check(avfilter_graph_create_filter(&source_, source, "in", format.c_str(), nullptr, graph_.get()), refused);
        av_check(avfilter_graph_create_filter(&filter, bwdif, "bwdif", "mode=send_frame:deint=interlaced", nullptr,
                                              graph_.get()),
                 refused);
        av_check(avfilter_graph_create_filter(&sink_, sink, "out", nullptr, nullptr, graph_.get()), refused);
        av_check(avfilter_link(source_, 0, filter, 0), refused);
        av_check(avfilter_link(filter, 0, sink_, 0), refused);
        av_check(avfilter_graph_config(graph_.get(), nullptr), refused);
    }

    /// Takes the frame's content; null after the last one.
    void push(AVFrame* frame) {
        av_check(av_buffersrc_add_frame(source_, frame), name_, ": a frame cannot be deinterlaced");
    }

    /// The next frame; false when more must be pushed, or when all are out.
    bool pull(AVFrame& frame) {
        av_frame_unref(&frame);
        const int code = av_buffersink_get_frame(sink_, &frame);
        if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return false;
        av_check(code, name_, ": a frame cannot be deinterlaced");
        frame.pts = av_rescale_q(frame.pts, av_buffersink_get_time_base(sink_), time_base_);  // bwdif halves the unit
        return true;
    }

private:
    struct FreeGraph {
        void operator()(AVFilterGraph* graph) const { avfilter_graph_free(&graph); }
    };

    std::string name_;
    AVRational time_base_;
    std::unique_ptr<AVFilterGraph, FreeGraph> graph_;
    AVFilterContext *source_ = nullptr, *sink_ = nullptr;
};

}  // namespace mia::detail
